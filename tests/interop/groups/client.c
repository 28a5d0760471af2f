/* A client of Debian's libcpg for the interop tests, with all calls of libcpg. It carries out the lines of its
 * standard input; H is the number of one of its connections, 0 to 7:
 *
 *   init H [initial]       connects; `initial` asks for the ring at the start
 *   join H GROUP           leave H GROUP         final H              members H GROUP
 *   groups H               list H                list H GROUP         limit H
 *   send H NUMBER LENGTH [safe]                  a message
 *   burst H NUMBER COUNT LENGTH                  COUNT messages, numbered from NUMBER on
 *   whole H NUMBER LENGTH                        a message of any length with one call; nothing is read meanwhile
 *   zcb H NUMBER LENGTH [safe]                   a message from a zero-copy buffer
 *   exit                   ends without notice to the daemon
 *
 * The answers to calls go to standard error, the callbacks to standard output.
 */
#include <corosync/cpg.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HANDLES 8
#define LONGEST (64 * 1024 * 1024)

static cpg_handle_t handles[HANDLES];
static int opened[HANDLES];

static int index_of(cpg_handle_t handle) {
    void *context = NULL;
    cpg_context_get(handle, &context);
    return (int)(intptr_t)context;
}

/* Fills the bytes of a message: its number, then a pattern that follows from number and length. */
static void fill(unsigned char *bytes, size_t length, uint64_t number) {
    uint64_t state = number * 0x9e3779b97f4a7c15u + length + 1;
    for (size_t i = 0; i < length; i++) {
        if (i < 8) {
            bytes[i] = (unsigned char)(number >> (8 * i));
            continue;
        }
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes[i] = (unsigned char)state;
    }
}

static void on_message(cpg_handle_t handle, const struct cpg_name *group, uint32_t node, uint32_t pid, void *bytes,
                       size_t length) {
    uint64_t number = 0;
    const unsigned char *got = bytes;
    for (size_t i = 0; i < length && i < 8; i++) {
        number |= (uint64_t)got[i] << (8 * i);
    }
    unsigned char *expected = malloc(length + 1);
    if (expected == NULL) {
        exit(9);
    }
    fill(expected, length, number);
    printf("%d %.*s: message %llu of %u/%u, %zu bytes%s\n", index_of(handle), (int)group->length, group->value,
           (unsigned long long)number, node, pid, length, memcmp(expected, got, length) == 0 ? "" : " BROKEN");
    free(expected);
}

static void show(const char *what, const struct cpg_address *list, size_t count) {
    printf("; %s", what);
    for (size_t i = 0; i < count; i++) {
        printf(" %u/%u", list[i].nodeid, list[i].pid);
        if (list[i].reason != 0) {
            printf(":%u", list[i].reason);
        }
    }
}

static void on_change(cpg_handle_t handle, const struct cpg_name *group, const struct cpg_address *members,
                      size_t member_count, const struct cpg_address *left, size_t left_count,
                      const struct cpg_address *joined, size_t joined_count) {
    printf("%d %.*s: view of %zu", index_of(handle), (int)group->length, group->value, member_count);
    show("members", members, member_count);
    show("left", left, left_count);
    show("joined", joined, joined_count);
    printf("\n");
}

static void on_ring(cpg_handle_t handle, struct cpg_ring_id ring, uint32_t count, const uint32_t *nodes) {
    printf("%d: ring %u.%llu; nodes", index_of(handle), ring.nodeid, (unsigned long long)ring.seq);
    for (uint32_t i = 0; i < count; i++) {
        printf(" %u", nodes[i]);
    }
    printf("\n");
}

static void dispatch_all(void) {
    for (int i = 0; i < HANDLES; i++) {
        if (!opened[i]) {
            continue;
        }
        cs_error_t result = cpg_dispatch(handles[i], CS_DISPATCH_ALL);
        if (result != CS_OK && result != CS_ERR_TRY_AGAIN) {
            printf("%d: the daemon is gone\n", i);
            cpg_finalize(handles[i]);
            opened[i] = 0;
        }
    }
    fflush(stdout);
}

/* Whether the call is to be repeated, because the daemon said TRY_AGAIN and tries are left. */
static int again(cs_error_t result, int *tries) {
    if (result != CS_ERR_TRY_AGAIN || ++*tries > 30000) {
        return 0;
    }
    dispatch_all();
    usleep(2000);
    return 1;
}

static struct cpg_name name_of(const char *word) {
    struct cpg_name name = {.length = (uint32_t)strnlen(word, CPG_MAX_NAME_LENGTH)};
    memcpy(name.value, word, name.length);
    return name;
}

static void init(int h, const char *how) {
    cpg_model_v1_data_t model = {
        .model = CPG_MODEL_V1,
        .cpg_deliver_fn = on_message,
        .cpg_confchg_fn = on_change,
        .cpg_totem_confchg_fn = on_ring,
        .flags = strcmp(how, "initial") == 0 ? CPG_MODEL_V1_DELIVER_INITIAL_TOTEM_CONF : 0,
    };
    cs_error_t result;
    int tries = 0;
    do {
        result = cpg_model_initialize(&handles[h], CPG_MODEL_V1, (cpg_model_data_t *)&model, (void *)(intptr_t)h);
    } while (again(result, &tries));
    opened[h] = result == CS_OK;
    unsigned int node = 0;
    cs_error_t local = opened[h] ? cpg_local_get(handles[h], &node) : result;
    fprintf(stderr, "%d init: %d, cpg_local_get: %d, %u/%d\n", h, result, local, node, (int)getpid());
}

static void send_one(const char *call, int h, uint64_t number, size_t length, cpg_guarantee_t guarantee) {
    unsigned char *bytes = malloc(length + 1);
    if (bytes == NULL || length > LONGEST) {
        exit(9);
    }
    fill(bytes, length, number);
    struct iovec piece = {.iov_base = bytes, .iov_len = length};
    cs_error_t result;
    int tries = 0;
    do {
        result = cpg_mcast_joined(handles[h], guarantee, &piece, 1);
    } while (again(result, &tries));
    if (call != NULL || result != CS_OK) {
        fprintf(stderr, "%d send: %d\n", h, result);
    }
    free(bytes);
}

static void send_whole(int h, uint64_t number, size_t length) {
    unsigned char *bytes = malloc(length + 1);
    if (bytes == NULL || length > LONGEST) {
        exit(9);
    }
    fill(bytes, length, number);
    struct iovec piece = {.iov_base = bytes, .iov_len = length};
    fprintf(stderr, "%d whole: %d\n", h, cpg_mcast_joined(handles[h], CPG_TYPE_AGREED, &piece, 1));
    free(bytes);
}

static void send_zcb(int h, uint64_t number, size_t length, cpg_guarantee_t guarantee) {
    void *bytes = NULL;
    int tries = 0;
    cs_error_t allocated = cpg_zcb_alloc(handles[h], length, &bytes);
    if (allocated != CS_OK) {
        fprintf(stderr, "%d zcb: alloc %d\n", h, allocated);
        return;
    }
    fill(bytes, length, number);
    cs_error_t sent;
    do {
        sent = cpg_zcb_mcast_joined(handles[h], guarantee, bytes, length);
    } while (again(sent, &tries));
    cs_error_t freed = cpg_zcb_free(handles[h], bytes);
    fprintf(stderr, "%d zcb: alloc %d, mcast %d, free %d\n", h, allocated, sent, freed);
}

static void members(int h, const char *group) {
    struct cpg_name name = name_of(group);
    struct cpg_address list[CPG_MEMBERS_MAX];
    int count = 0;
    cs_error_t result = cpg_membership_get(handles[h], &name, list, &count);
    fprintf(stderr, "%d members: %d, %d:", h, result, count);
    for (int i = 0; i < count && i < CPG_MEMBERS_MAX; i++) {
        fprintf(stderr, " %u/%u", list[i].nodeid, list[i].pid);
    }
    fprintf(stderr, "\n");
}

static void list(int h, cpg_iteration_type_t type, const char *group) {
    struct cpg_name name = name_of(group);
    cpg_iteration_handle_t iteration;
    cs_error_t result = cpg_iteration_initialize(handles[h], type, type == CPG_ITERATION_ONE_GROUP ? &name : NULL, &iteration);
    fprintf(stderr, "%d list: %d", h, result);
    if (result == CS_OK) {
        struct cpg_iteration_description_t entry;
        while ((result = cpg_iteration_next(iteration, &entry)) == CS_OK) {
            fprintf(stderr, " %.*s=%u/%u", (int)entry.group.length, entry.group.value, entry.nodeid, entry.pid);
        }
        fprintf(stderr, " end %d", result);
        fprintf(stderr, " %d", cpg_iteration_finalize(iteration));
    }
    fprintf(stderr, "\n");
}

static void act(char *line) {
    char word[16] = "", text[140] = "", more[16] = "";
    int h = 0;
    unsigned long long number = 0, count = 0, length = 0;
    if (sscanf(line, "%15s %d", word, &h) < 1 || h < 0 || h >= HANDLES) {
        return;
    }
    sscanf(line, "%*s %*d %139s", text);
    if (strcmp(word, "exit") == 0) {
        _exit(0);
    } else if (strcmp(word, "init") == 0) {
        init(h, text);
    } else if (strcmp(word, "join") == 0) {
        struct cpg_name name = name_of(text);
        cs_error_t result;
        int tries = 0;
        do {
            result = cpg_join(handles[h], &name);
        } while (again(result, &tries));
        fprintf(stderr, "%d join: %d\n", h, result);
    } else if (strcmp(word, "leave") == 0) {
        struct cpg_name name = name_of(text);
        cs_error_t result;
        int tries = 0;
        do {
            result = cpg_leave(handles[h], &name);
        } while (again(result, &tries));
        fprintf(stderr, "%d leave: %d\n", h, result);
    } else if (strcmp(word, "final") == 0) {
        opened[h] = 0;
        fprintf(stderr, "%d final: %d\n", h, cpg_finalize(handles[h]));
    } else if (strcmp(word, "members") == 0) {
        members(h, text);
    } else if (strcmp(word, "groups") == 0) {
        list(h, CPG_ITERATION_NAME_ONLY, "");
    } else if (strcmp(word, "list") == 0) {
        list(h, text[0] == 0 ? CPG_ITERATION_ALL : CPG_ITERATION_ONE_GROUP, text);
    } else if (strcmp(word, "limit") == 0) {
        uint32_t size = 0;
        cs_error_t result = cpg_max_atomic_msgsize_get(handles[h], &size);
        fprintf(stderr, "%d limit: %d, %u\n", h, result, size);
    } else if (strcmp(word, "burst") == 0 && sscanf(line, "%*s %*d %llu %llu %llu", &number, &count, &length) == 3) {
        for (unsigned long long i = 0; i < count; i++) {
            send_one(NULL, h, number + i, length, CPG_TYPE_AGREED);
        }
        fprintf(stderr, "%d burst: over\n", h);
    } else if (sscanf(line, "%*s %*d %llu %llu %15s", &number, &length, more) >= 2) {
        cpg_guarantee_t guarantee = strcmp(more, "safe") == 0 ? CPG_TYPE_SAFE : CPG_TYPE_AGREED;
        if (strcmp(word, "send") == 0) {
            send_one(word, h, number, length, guarantee);
        } else if (strcmp(word, "zcb") == 0) {
            send_zcb(h, number, length, guarantee);
        } else if (strcmp(word, "whole") == 0) {
            send_whole(h, number, length);
        }
    }
}

int main(void) {
    char input[65536];
    size_t have = 0;
    setvbuf(stderr, NULL, _IOLBF, 0);
    fprintf(stderr, "pid %d\n", (int)getpid());
    for (;;) {
        struct pollfd fds[HANDLES + 1] = {{.fd = 0, .events = POLLIN}};
        nfds_t count = 1;
        for (int i = 0; i < HANDLES; i++) {
            int fd;
            if (opened[i] && cpg_fd_get(handles[i], &fd) == CS_OK) {
                fds[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
            }
        }
        if (poll(fds, count, -1) < 0 && errno != EINTR) {
            return 1;
        }
        for (nfds_t i = 1; i < count; i++) {
            if (fds[i].revents != 0) {
                dispatch_all();
                break;
            }
        }
        if (fds[0].revents == 0) {
            continue;
        }
        ssize_t got = read(0, input + have, sizeof(input) - 1 - have);
        if (got <= 0) {
            return 0;
        }
        have += (size_t)got;
        input[have] = 0;
        char *start = input, *end;
        while ((end = strchr(start, '\n')) != NULL) {
            *end = 0;
            act(start);
            start = end + 1;
        }
        have = strlen(start);
        memmove(input, start, have + 1);
        if (have == sizeof(input) - 1) {
            return 2;
        }
    }
}
