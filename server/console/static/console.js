// What the pages do beyond links and forms: live parts, and keys. Everything else works without it.
"use strict";

// A part with data-live shows what the server sends: its contents anew ("replace"), or a row on top ("prepend"). A hidden page is not
// live, so that it holds no connection: browsers have few.
for (const part of document.querySelectorAll("[data-live]")) {
  const bar = document.querySelector("[data-state]");
  const status = document.querySelector("[data-status]");
  const button = document.querySelector("[data-pause]");
  let source = null;
  let paused = false;
  const tell = (state, text) => {
    if (!bar) return;
    bar.hidden = false;
    if (bar.dataset.state === state) return;
    bar.dataset.state = state;
    status.textContent = text;
  };
  const close = () => { if (source) source.close(); source = null; };
  const open = () => {
    if (source || paused || document.hidden) return;
    source = new EventSource(part.dataset.live);
    source.onopen = () => tell("live", "New events appear here.");
    source.onerror = () => {
      tell("away", "The server is away; trying again.");
      if (source && source.readyState === EventSource.CLOSED) { close(); setTimeout(open, 3000); }
    };
    source.addEventListener("replace", (e) => {
      if (part.contains(document.activeElement) || String(getSelection())) return; // somebody is using it
      part.innerHTML = e.data;
    });
    source.addEventListener("standby", (e) => {
      const note = document.querySelector("[data-standby]");
      if (!note.contains(document.activeElement)) note.innerHTML = e.data;
    });
    source.addEventListener("prepend", (e) => {
      const body = part.tBodies[0];
      body.insertAdjacentHTML("afterbegin", e.data);
      while (body.rows.length > Number(part.dataset.most)) body.deleteRow(-1);
      document.querySelector("[data-empty]")?.remove();
    });
    source.addEventListener("note", (e) => { if (status) status.textContent = e.data; });
    source.addEventListener("failed", (e) => { tell("away", e.data); });
  };
  button?.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? "Go on" : "Pause";
    if (paused) { close(); tell("paused", "Paused: events that come now are not shown."); } else open();
  });
  document.addEventListener("visibilitychange", () => { if (document.hidden) close(); else open(); });
  addEventListener("pagehide", close);
  addEventListener("pageshow", open);
  open();
}

// g and the key of a page in the menu opens it; / goes to the first field of the page.
let going = false;
document.addEventListener("keydown", (e) => {
  const typing = e.target.closest?.("input, textarea, select");
  if (typing || e.ctrlKey || e.metaKey || e.altKey) return;
  if (going) {
    going = false;
    const item = [...document.querySelectorAll("header nav a")].find((a) => a.dataset.key === e.key);
    if (item) { e.preventDefault(); item.click(); }
  } else if (e.key === "g") {
    going = true;
    setTimeout(() => { going = false; }, 1500);
  } else if (e.key === "/") {
    const field = document.querySelector("main input:not([type=hidden]), main textarea");
    if (field) { e.preventDefault(); field.focus(); }
  }
});
