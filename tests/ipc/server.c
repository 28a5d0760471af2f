/* A server linked with libqb, as corosync is. Prints "ready" when it listens. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <qb/qbipcs.h>
#include <qb/qbloop.h>
#include "protocol.h"

static qb_loop_t *loop;
static unsigned char out[LARGEST];
static int32_t ticks;

/* A burst under way; the events that do not fit are sent later. */
struct sending {
	qb_ipcs_connection_t *c;
	uint32_t next, count, size;
};

static void send_some(void *data)
{
	struct sending *s = data;
	struct response *event = (struct response *)out;

	while (s->next < s->count) {
		event->header.id = 100;
		event->header.size = (int32_t)s->size;
		event->header.error = 0;
		memcpy(event->payload, &s->next, sizeof(s->next));
		ssize_t result = qb_ipcs_event_send(s->c, event, s->size);
		if (result == -EAGAIN || result == -ENOBUFS) {
			qb_loop_timer_handle timer;
			qb_loop_timer_add(loop, QB_LOOP_MED, 1000000, s, send_some, &timer);
			return;
		}
		if (result < 0) {
			break;
		}
		s->next++;
	}
	qb_ipcs_connection_unref(s->c);
	free(s);
}

static int32_t process(qb_ipcs_connection_t *c, void *data, size_t size)
{
	struct request *request = data;
	struct response *response = (struct response *)out;
	size_t len = (size_t)request->header.size - sizeof(*request);

	(void)size;
	response->header.id = request->header.id;
	response->header.error = 0;
	response->header.size = sizeof(*response);
	switch (request->header.id) {
	case ECHO:
	case POST:
		response->header.size = (int32_t)(sizeof(*response) + len);
		memcpy(response->payload, request->payload, len);
		if (request->header.id == ECHO) {
			qb_ipcs_response_send(c, response, (size_t)response->header.size);
		} else {
			while (qb_ipcs_event_send(c, response, (size_t)response->header.size) == -EAGAIN) {
				usleep(100);
			}
		}
		break;
	case BURST: {
		struct burst *burst = data;
		struct sending *s = malloc(sizeof(*s));
		*s = (struct sending){ c, 0, burst->count, burst->size };
		qb_ipcs_response_send(c, response, sizeof(*response));
		qb_ipcs_connection_ref(c);
		send_some(s);
		break;
	}
	case COUNT:
		response->header.error = ticks;
		qb_ipcs_response_send(c, response, sizeof(*response));
		break;
	case TICK:
		ticks++;
		break;
	}
	return 0;
}

static int32_t accept_all(qb_ipcs_connection_t *c, uid_t uid, gid_t gid)
{
	(void)c, (void)uid, (void)gid;
	return 0;
}

static void created(qb_ipcs_connection_t *c) { (void)c; }
static int32_t closed(qb_ipcs_connection_t *c) { (void)c; return 0; }
static void destroyed(qb_ipcs_connection_t *c) { (void)c; }

static int32_t job_add(enum qb_loop_priority p, void *data, qb_loop_job_dispatch_fn fn)
{
	return qb_loop_job_add(loop, p, data, fn);
}
static int32_t dispatch_add(enum qb_loop_priority p, int32_t fd, int32_t events, void *data, qb_ipcs_dispatch_fn_t fn)
{
	return qb_loop_poll_add(loop, p, fd, events, data, fn);
}
static int32_t dispatch_mod(enum qb_loop_priority p, int32_t fd, int32_t events, void *data, qb_ipcs_dispatch_fn_t fn)
{
	return qb_loop_poll_mod(loop, p, fd, events, data, fn);
}
static int32_t dispatch_del(int32_t fd)
{
	return qb_loop_poll_del(loop, fd);
}

int main(int argc, char **argv)
{
	struct qb_ipcs_service_handlers handlers = {
		.connection_accept = accept_all,
		.connection_created = created,
		.msg_process = process,
		.connection_closed = closed,
		.connection_destroyed = destroyed,
	};
	struct qb_ipcs_poll_handlers poll = { job_add, dispatch_add, dispatch_mod, dispatch_del };
	qb_ipcs_service_t *service;

	if (argc < 2) {
		return 2;
	}
	loop = qb_loop_create();
	service = qb_ipcs_create(argv[1], 2, QB_IPC_SHM, &handlers);
	qb_ipcs_poll_handlers_set(service, &poll);
	if (qb_ipcs_run(service) != 0) {
		fprintf(stderr, "server.c: cannot run\n");
		return 1;
	}
	printf("ready\n");
	fflush(stdout);
	qb_loop_run(loop);
	return 0;
}
