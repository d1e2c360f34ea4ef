// A client that a test commands, one line for each command and answer: see ../libraries/program_test.go.
// Usage: client URL CLIENT-ID [CA-FILE]

#define NATS_HAS_STREAMING
#include <nats/nats.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE 60000 // milliseconds
#define SUBSCRIPTIONS 64

// A subscription and the messages that it received, by sequence.
typedef struct {
	char name[64];
	stanSubscription *sub;
	stanMsg *delivered[1024];
} subscription;

static subscription subscriptions[SUBSCRIPTIONS];
static pthread_mutex_t output = PTHREAD_MUTEX_INITIALIZER;

static void say(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	pthread_mutex_lock(&output);
	vprintf(format, args);
	putchar('\n');
	fflush(stdout);
	pthread_mutex_unlock(&output);
	va_end(args);
}

static void answer(natsStatus s)
{
	if (s == NATS_OK) {
		say("ok");
		return;
	}
	const char *last = nats_GetLastError(&s);
	say("error %s", last != NULL && *last ? last : natsStatus_GetText(s));
}

static void onMessage(stanConnection *sc, stanSubscription *sub, const char *channel, stanMsg *msg, void *closure)
{
	(void)sc, (void)sub, (void)channel;
	subscription *s = closure;
	uint64_t seq = stanMsg_GetSequence(msg);
	if (seq >= sizeof s->delivered / sizeof *s->delivered)
		exit(2);
	stanMsg *earlier = s->delivered[seq];
	s->delivered[seq] = msg; // before the test hears of it
	say("message %s %llu %d %.*s", s->name, (unsigned long long)seq, stanMsg_IsRedelivered(msg) ? 1 : 0, stanMsg_GetDataLength(msg), stanMsg_GetData(msg));
	if (earlier != NULL)
		stanMsg_Destroy(earlier);
}

static void onLost(stanConnection *sc, const char *why, void *closure)
{
	(void)sc, (void)closure;
	say("lost %s", why);
}

static void onReconnected(natsConnection *nc, void *closure)
{
	(void)nc, (void)closure;
	say("back");
}

static subscription *find(const char *name)
{
	for (int i = 0; i < SUBSCRIPTIONS; i++)
		if (strcmp(subscriptions[i].name, name) == 0)
			return &subscriptions[i];
	exit(2);
}

static natsStatus connectTo(stanConnection **sc, const char *url, const char *id, const char *ca)
{
	natsOptions *nats = NULL;
	stanConnOptions *opts = NULL;
	natsStatus s = natsOptions_Create(&nats);
	if (s == NATS_OK) s = natsOptions_SetURL(nats, url);
	if (s == NATS_OK) s = natsOptions_SetMaxReconnect(nats, -1);
	if (s == NATS_OK) s = natsOptions_SetReconnectWait(nats, 50);
	if (s == NATS_OK) s = natsOptions_SetReconnectedCB(nats, onReconnected, NULL);
	if (s == NATS_OK && ca != NULL) s = natsOptions_SetSecure(nats, true);
	if (s == NATS_OK && ca != NULL) s = natsOptions_LoadCATrustedCertificates(nats, ca);
	if (s == NATS_OK) s = stanConnOptions_Create(&opts);
	if (s == NATS_OK) s = stanConnOptions_SetNATSOptions(opts, nats);
	if (s == NATS_OK) s = stanConnOptions_SetConnectionWait(opts, PATIENCE);
	if (s == NATS_OK) s = stanConnOptions_SetPubAckWait(opts, PATIENCE);
	if (s == NATS_OK) s = stanConnOptions_SetPings(opts, 1, 60);
	if (s == NATS_OK) s = stanConnOptions_SetConnectionLostHandler(opts, onLost, NULL);
	if (s == NATS_OK) s = stanConnection_Connect(sc, "test-cluster", id, opts);
	stanConnOptions_Destroy(opts);
	natsOptions_Destroy(nats);
	return s;
}

static natsStatus subscribe(stanConnection *sc, char **word)
{
	char *name = word[0], *channel = word[1], *group = word[2], *durable = word[3], *start = word[4];
	long long from = atoll(word[5]);
	subscription *to = find("");
	snprintf(to->name, sizeof to->name, "%s", name);
	stanSubOptions *opts = NULL;
	natsStatus s = stanSubOptions_Create(&opts);
	if (s == NATS_OK) s = stanSubOptions_SetManualAckMode(opts, true);
	if (s == NATS_OK) s = stanSubOptions_SetAckWait(opts, atoll(word[6]) * 1000);
	if (s == NATS_OK) s = stanSubOptions_SetMaxInflight(opts, atoi(word[7]));
	if (s == NATS_OK && strcmp(durable, "-") != 0) s = stanSubOptions_SetDurableName(opts, durable);
	if (s == NATS_OK && strcmp(start, "first") == 0) s = stanSubOptions_DeliverAllAvailable(opts);
	if (s == NATS_OK && strcmp(start, "last") == 0) s = stanSubOptions_StartWithLastReceived(opts);
	if (s == NATS_OK && strcmp(start, "sequence") == 0) s = stanSubOptions_StartAtSequence(opts, (uint64_t)from);
	if (s == NATS_OK && strcmp(start, "ago") == 0) s = stanSubOptions_StartAtTimeDelta(opts, from * 1000);
	if (s == NATS_OK)
		s = strcmp(group, "-") == 0 ? stanConnection_Subscribe(&to->sub, sc, channel, onMessage, to, opts)
					    : stanConnection_QueueSubscribe(&to->sub, sc, channel, group, onMessage, to, opts);
	stanSubOptions_Destroy(opts);
	return s;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	stanConnection *sc = NULL;
	natsStatus s = connectTo(&sc, argv[1], argv[2], argc > 3 ? argv[3] : NULL);
	answer(s);
	char line[4096];
	while (s == NATS_OK && fgets(line, sizeof line, stdin) != NULL) {
		char *word[10] = {NULL};
		int n = 0;
		for (char *w = strtok(line, " \n"); w != NULL && n < 10; w = strtok(NULL, " \n"))
			word[n++] = w;
		if (strcmp(word[0], "publish") == 0) {
			answer(stanConnection_Publish(sc, word[1], word[2], (int)strlen(word[2])));
		} else if (strcmp(word[0], "subscribe") == 0) {
			answer(subscribe(sc, word + 1));
		} else if (strcmp(word[0], "ack") == 0) {
			subscription *sub = find(word[1]);
			answer(stanSubscription_AckMsg(sub->sub, sub->delivered[atoll(word[2])]));
		} else if (strcmp(word[0], "end") == 0) {
			stanSubscription *sub = find(word[1])->sub;
			answer(strcmp(word[2], "unsubscribe") == 0 ? stanSubscription_Unsubscribe(sub) : stanSubscription_Close(sub));
		} else if (strcmp(word[0], "close") == 0) {
			answer(stanConnection_Close(sc));
			return 0;
		} else {
			return 2;
		}
	}
	return 0;
}
