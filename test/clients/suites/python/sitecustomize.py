"""Lets the client for Python, of 2019, run on Python 3.10 and later, where asyncio takes no loop and has no coroutine decorator."""

import asyncio
import functools
import types


def without_loop(name):
    original = getattr(asyncio, name)
    if isinstance(original, type):

        class Replacement(original):
            def __init__(self, *args, loop=None, **kwargs):
                super().__init__(*args, **kwargs)

    else:

        @functools.wraps(original)
        def Replacement(*args, loop=None, **kwargs):
            return original(*args, **kwargs)

    setattr(asyncio, name, Replacement)


for name in ("Queue", "Event", "Lock", "wait_for", "sleep", "open_connection", "gather", "wait"):
    without_loop(name)
if not hasattr(asyncio, "coroutine"):
    asyncio.coroutine = types.coroutine
