/* A client linked with libqb, as Corosync's libraries are. Exit status 0 means that everything was as it should
 * be. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>
#include <qb/qbipcc.h>
#include "protocol.h"

/* How long an event may take on a busy machine, in ms. */
#define PATIENCE 60000

static unsigned char out[LARGEST], in[LARGEST];

static void fail(const char *what, long result)
{
	fprintf(stderr, "client.c: %s: %ld %s\n", what, result, result < 0 ? strerror((int)-result) : "");
	exit(1);
}

static uint32_t noise(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

static qb_ipcc_connection_t *dial(const char *name)
{
	qb_ipcc_connection_t *c = qb_ipcc_connect(name, LARGEST);
	if (c == NULL) {
		fail("connect", -errno);
	}
	return c;
}

/* Sends requests of random length; each must be answered with the same bytes. */
static void echo(const char *name, int rounds, uint32_t seed)
{
	qb_ipcc_connection_t *c = dial(name);
	struct request *request = (struct request *)out;
	struct response *response = (struct response *)in;

	for (int round = 0; round < rounds; round++) {
		size_t len = noise(&seed) % (round % 8 == 0 ? LARGEST - sizeof(*response) + 1 : 5000);
		for (size_t i = 0; i < len; i++) {
			request->payload[i] = (unsigned char)(i * 7 + round);
		}
		request->header.id = ECHO;
		request->header.size = (int32_t)(sizeof(*request) + len);
		struct iovec iov[2] = {
			{ request, sizeof(*request) }, { request->payload, len }
		};
		memset(in, 0xee, 64);
		ssize_t got = qb_ipcc_sendv_recv(c, iov, 2, in, sizeof(in), -1);
		if (got != (ssize_t)(sizeof(*response) + len) || response->header.size != got) {
			fail("echo length", got);
		}
		if (memcmp(response->payload, request->payload, len) != 0) {
			fail("echo content", round);
		}
	}
	qb_ipcc_disconnect(c);
}

/* Asks for more events than the ring buffer holds and reads them after a while; all must come, in order. */
static void events(const char *name, uint32_t count, uint32_t size)
{
	qb_ipcc_connection_t *c = dial(name);
	struct burst burst = { { BURST, sizeof(burst) }, count, size };
	struct iovec iov = { &burst, sizeof(burst) };

	ssize_t got = qb_ipcc_sendv_recv(c, &iov, 1, in, sizeof(in), -1);
	if (got != sizeof(struct response)) {
		fail("burst", got);
	}
	usleep(50000);
	for (uint32_t i = 0; i < count; i++) {
		struct response *event = (struct response *)in;
		uint32_t number;
		got = qb_ipcc_event_recv(c, in, sizeof(in), PATIENCE);
		if (got != (ssize_t)size || event->header.size != got) {
			fail("event length", got);
		}
		memcpy(&number, event->payload, sizeof(number));
		if (number != i) {
			fail("event order", number);
		}
	}
	/* No doorbell byte may be left: the descriptor would stay readable, and a program would spin on it. */
	int fd;
	qb_ipcc_fd_get(c, &fd);
	struct pollfd poller = { fd, POLLIN, 0 };
	usleep(20000);
	if (poll(&poller, 1, 0) != 0) {
		fail("descriptor readable without events", poller.revents);
	}
	got = qb_ipcc_event_recv(c, in, sizeof(in), 0);
	if (got != -EAGAIN) {
		fail("an event too many", got);
	}
	qb_ipcc_disconnect(c);
}

/* Posts messages as fast as it can while the same messages come back as events. */
static void flood(const char *name, int count, size_t size)
{
	qb_ipcc_connection_t *c = dial(name);
	struct request *request = (struct request *)out;
	struct response *event = (struct response *)in;
	int sent = 0, received = 0;

	/* As libcpg does for multicasts: they may be held back until this client has read its events. */
	qb_ipcc_fc_enable_max_set(c, 2);
	request->header.id = POST;
	request->header.size = (int32_t)size;
	while (received < count) {
		if (sent < count) {
			memcpy(request->payload, &sent, sizeof(sent));
			ssize_t result = qb_ipcc_send(c, out, size);
			if (result == (ssize_t)size) {
				sent++;
			} else if (result != -EAGAIN) {
				fail("post", result);
			}
			if (result != -EAGAIN && sent < count && sent % 64 != 0) {
				continue;
			}
		}
		for (;;) {
			ssize_t got = qb_ipcc_event_recv(c, in, sizeof(in), sent == count ? PATIENCE : 0);
			if (got == -EAGAIN || got == -ETIMEDOUT) {
				if (sent == count) {
					fail("events missing", count - received);
				}
				break;
			}
			int number;
			memcpy(&number, event->payload, sizeof(number));
			if (got != (ssize_t)(size + 8) || number != received) {
				fail("event", got);
			}
			if (++received == count) {
				break;
			}
		}
	}
	qb_ipcc_disconnect(c);
}

/* Sends requests and dies in the middle of them. */
static void mortal(const char *name)
{
	qb_ipcc_connection_t *c = dial(name);
	struct burst burst = { { BURST, sizeof(burst) }, 5000, 1000 };
	struct iovec iov = { &burst, sizeof(burst) };

	if (qb_ipcc_sendv_recv(c, &iov, 1, in, sizeof(in), -1) < 0) {
		fail("burst", 0);
	}
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		struct request request = { { ECHO, sizeof(request) } };
		struct iovec again = { &request, sizeof(request) };
		qb_ipcc_sendv_recv(c, &again, 1, in, sizeof(in), -1);
	}
}

/* Sends requests that are not answered, and disconnects at once. */
static void vanish(const char *name, int count)
{
	qb_ipcc_connection_t *c = dial(name);
	struct qb_ipc_request_header tick = { TICK, sizeof(tick) };

	for (int i = 0; i < count; i++) {
		ssize_t result = qb_ipcc_send(c, &tick, sizeof(tick));
		if (result != sizeof(tick)) {
			fail("tick", result);
		}
	}
	qb_ipcc_disconnect(c);
}

/* Prints the error that connecting gives. */
static void refused(const char *name)
{
	qb_ipcc_connection_t *c = qb_ipcc_connect(name, LARGEST);
	printf("%d\n", c == NULL ? errno : 0);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 2 ? argv[1] : "";
	const char *name = argc > 2 ? argv[2] : "";
	int a = argc > 3 ? atoi(argv[3]) : 0;
	int b = argc > 4 ? atoi(argv[4]) : 0;

	if (strcmp(mode, "echo") == 0) {
		echo(name, a, (uint32_t)b);
	} else if (strcmp(mode, "events") == 0) {
		events(name, (uint32_t)a, (uint32_t)b);
	} else if (strcmp(mode, "flood") == 0) {
		flood(name, a, (size_t)b);
	} else if (strcmp(mode, "mortal") == 0) {
		mortal(name);
	} else if (strcmp(mode, "vanish") == 0) {
		vanish(name, a);
	} else if (strcmp(mode, "refused") == 0) {
		refused(name);
	} else {
		fprintf(stderr, "usage: client MODE NAME [A [B]]\n");
		return 2;
	}
	return 0;
}
