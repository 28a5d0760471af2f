/* Debian's libsam, observed from outside: what the processes of each scenario print, how the supervisor ends, and
 * what happens to its keys in the daemon's map. The output is the same on every daemon that serves libsam
 * correctly: sam.expected, recorded with Corosync 3.1.7. Process ids and times do not appear.
 *
 *   cc -o sam sam.c -lsam -lcmap -lquorum -lvotequorum -lpthread
 *   sam [SCENARIO...]        all scenarios if none is given; about 45 seconds
 *
 * It needs root and a daemon that is alone in its cluster and has a quorum device with more votes than its own,
 * which this program acts for: quorum { device { model: net  votes: 2  timeout: 60000  sync_timeout: 60000 } }.
 * With SAM_SUBJECT=PROGRAM, "PROGRAM SCENARIO" supervises itself in place of libsam, and prints to descriptor 3.
 * SAM_LIVE=1 reports on stderr what happens while it happens.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <corosync/cmap.h>
#include <corosync/sam.h>
#include <corosync/votequorum.h>

enum { INTERVAL_MS = 3000, PATIENCE_S = 60, LINE = 512, LINES = 256 };

static char said[LINES][LINE], changed[LINES][LINE];
static int said_count, changed_count;
static size_t prefix_length;
static int takes_quorum;

/* The pipe to the observer. Each line of a subject is written at once, so that lines of several processes do not
 * mix. */
static int mouth = -1;

static void say(const char *format, ...)
{
    char line[LINE];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof(line) - 1, format, arguments);
    va_end(arguments);
    line[length++] = '\n';
    if (write(mouth, line, length) != length) abort();
}

static const char *name(cs_error_t error)
{
    static char other[32];
    switch (error) {
    case CS_OK: return "OK";
    case CS_ERR_LIBRARY: return "LIBRARY";
    case CS_ERR_INVALID_PARAM: return "INVALID_PARAM";
    case CS_ERR_BAD_HANDLE: return "BAD_HANDLE";
    default: snprintf(other, sizeof(other), "%d", error); return other;
    }
}

static void must(const char *what, cs_error_t error)
{
    if (error != CS_OK) {
        say("%s: %s", what, name(error));
        _exit(99);
    }
}

static void nap(int ms)
{
    struct timespec left = { ms / 1000, (ms % 1000) * 1000000L };
    while (nanosleep(&left, &left) == -1 && errno == EINTR) continue;
}

static unsigned int begin(int interval, int policy)
{
    unsigned int instance = 77;
    must("initialize", sam_initialize(interval, policy));
    must("register", sam_register(&instance));
    say("instance %u", instance);
    return instance;
}

static void on_warning(int number)
{
    const char word[] = "warned by SIGTERM\n", other[] = "warned by SIGUSR1\n";
    if (number == SIGTERM ? write(mouth, word, sizeof(word) - 1) < 0 : write(mouth, other, sizeof(other) - 1) < 0) abort();
}

/* Two crashes with data kept over each, then a clean end. */
static void restart(void)
{
    char data[64] = "";
    size_t size = 0;
    unsigned int instance = begin(0, SAM_RECOVERY_POLICY_RESTART | SAM_RECOVERY_POLICY_CMAP);
    must("getsize", sam_data_getsize(&size));
    must("restore", sam_data_restore(data, sizeof(data)));
    say("restored %zu bytes: %s", size, data);
    snprintf(data, sizeof(data), "from %u", instance);
    must("store", sam_data_store(data, strlen(data) + 1));
    must("start", sam_start());
    must("hc_send", sam_hc_send());
    if (instance == 1) abort();
    if (instance == 2) _exit(3);
    must("stop", sam_stop());
    must("store nothing", sam_data_store(NULL, 12));
    must("getsize", sam_data_getsize(&size));
    say("left %zu bytes", size);
    _exit(5);
}

/* No health checks: first the warning, then the kill. The next instance has another warning signal, and ends at
 * it. */
static void hang(void)
{
    signal(SIGTERM, on_warning);
    unsigned int instance = begin(INTERVAL_MS, SAM_RECOVERY_POLICY_RESTART | SAM_RECOVERY_POLICY_CMAP);
    if (instance == 2) {
        signal(SIGTERM, SIG_IGN);
        must("warn_signal_set", sam_warn_signal_set(SIGUSR1));
    }
    if (instance < 3) {
        must("start", sam_start());
        for (;;) nap(1000);
    }
    must("start", sam_start());
    must("stop", sam_stop());
    nap(INTERVAL_MS + INTERVAL_MS / 4);
    say("stopped and alive");
    _exit(0);
}

static void quit(void)
{
    begin(0, SAM_RECOVERY_POLICY_QUIT | SAM_RECOVERY_POLICY_CMAP);
    must("start", sam_start());
    _exit(4);
}

static void quit_by_signal(void)
{
    begin(0, SAM_RECOVERY_POLICY_QUIT | SAM_RECOVERY_POLICY_CMAP);
    must("start", sam_start());
    raise(SIGKILL);
}

static void unstarted(void)
{
    begin(0, SAM_RECOVERY_POLICY_RESTART | SAM_RECOVERY_POLICY_CMAP);
    _exit(6);
}

static void marked(void)
{
    signal(SIGTERM, on_warning);
    begin(0, SAM_RECOVERY_POLICY_RESTART | SAM_RECOVERY_POLICY_CMAP);
    must("start", sam_start());
    must("mark_failed", sam_mark_failed());
    for (;;) nap(1000);
}

static void finalized(void)
{
    begin(INTERVAL_MS, SAM_RECOVERY_POLICY_RESTART | SAM_RECOVERY_POLICY_CMAP);
    must("start", sam_start());
    must("finalize", sam_finalize());
    nap(INTERVAL_MS + INTERVAL_MS / 4);
    say("finalized and alive");
    _exit(8);
}

static int called;

static int well(void)
{
    say("health check %d", ++called);
    return called == 3;
}

/* Healthy twice, unhealthy the third time; then warned and killed. */
static void callback(void)
{
    signal(SIGTERM, on_warning);
    unsigned int instance = begin(INTERVAL_MS, SAM_RECOVERY_POLICY_RESTART);
    if (instance == 2) _exit(9);
    must("hc_callback_register", sam_hc_callback_register(well));
    must("start", sam_start());
    for (;;) nap(1000);
}

static void calls(void)
{
    char data[8];
    size_t size;
#define TRY(call) say("%s: %s", #call, name(call))
    TRY(sam_register(NULL));
    TRY(sam_start());
    TRY(sam_data_store("a", 1));
    TRY(sam_initialize(0, 0));
    TRY(sam_initialize(0, 3));
    TRY(sam_initialize(0, SAM_RECOVERY_POLICY_CMAP));
    TRY(sam_initialize(0, SAM_RECOVERY_POLICY_QUIT));
    TRY(sam_initialize(0, SAM_RECOVERY_POLICY_QUIT));
    TRY(sam_start());
    TRY(sam_stop());
    TRY(sam_hc_send());
    TRY(sam_mark_failed());
    TRY(sam_warn_signal_set(SIGUSR1));
    TRY(sam_hc_callback_register(well));
    TRY(sam_data_store("abc", 4));
    TRY(sam_register(NULL));
    TRY(sam_register(NULL));
    TRY(sam_data_getsize(NULL));
    TRY(sam_data_getsize(&size));
    say("size %zu", size);
    TRY(sam_data_restore(data, 3));
    TRY(sam_data_restore(NULL, 8));
    TRY(sam_data_restore(data, 8));
    TRY(sam_hc_send());
    TRY(sam_stop());
    TRY(sam_mark_failed());
    TRY(sam_hc_callback_register(well));
    TRY(sam_hc_callback_register(NULL));
    TRY(sam_start());
    TRY(sam_start());
    TRY(sam_hc_callback_register(well));
    TRY(sam_hc_send());
    TRY(sam_stop());
    TRY(sam_stop());
    TRY(sam_finalize());
    TRY(sam_finalize());
    TRY(sam_start());
    TRY(sam_data_getsize(&size));
    TRY(sam_initialize(0, SAM_RECOVERY_POLICY_QUIT));
    _exit(0);
}

/* The start waits for quorum, and a loss of quorum is treated like missing health checks. The observer gives and
 * takes quorum. */
static void quorum(void)
{
    signal(SIGTERM, on_warning);
    unsigned int instance =
        begin(INTERVAL_MS, SAM_RECOVERY_POLICY_QUORUM_RESTART | SAM_RECOVERY_POLICY_CMAP);
    must("start", sam_start());
    say("quorate");
    if (instance == 2) {
        must("stop", sam_stop());
        /* With this policy libsam answers the start twice, and this was the second answer. If a subject ends
         * before the answer to the stop is written, the supervisor dies of SIGPIPE. */
        nap(INTERVAL_MS);
        _exit(0);
    }
    for (;;) nap(1000);
}

/* The loss of quorum is a failure, and the process ends at the warning. */
static void quorum_quit(void)
{
    begin(0, SAM_RECOVERY_POLICY_QUORUM_QUIT | SAM_RECOVERY_POLICY_CMAP);
    must("start", sam_start());
    say("quorate");
    for (;;) nap(1000);
}

static const struct { const char *name; void (*run)(void); } scenarios[] = {
    { "calls", calls }, { "restart", restart }, { "hang", hang }, { "quit", quit },
    { "quit_by_signal", quit_by_signal }, { "unstarted", unstarted }, { "marked", marked },
    { "finalized", finalized }, { "callback", callback }, { "quorum", quorum }, { "quorum_quit", quorum_quit },
};

static void note(char lines[][LINE], int *count, const char *line)
{
    if (*count == LINES || (*count > 0 && strcmp(lines[*count - 1], line) == 0)) return;
    snprintf(lines[(*count)++], LINE, "%s", line);
}

/* The quorum device of the node, whose vote decides; see the head of this file. */
static votequorum_handle_t device;
static votequorum_ring_id_t ring;
static int has_ring;

static void on_nodes(votequorum_handle_t handle, uint64_t context, votequorum_ring_id_t id, uint32_t count, uint32_t nodes[])
{
    (void)handle, (void)context, (void)count, (void)nodes;
    ring = id;
    has_ring = 1;
}

static void set_quorate(int quorate)
{
    votequorum_callbacks_t callbacks = { .votequorum_nodelist_notify_fn = on_nodes };
    if (!has_ring) {
        if (votequorum_initialize(&device, &callbacks) != CS_OK || votequorum_trackstart(device, 0, CS_TRACK_CURRENT) != CS_OK ||
            votequorum_qdevice_register(device, "observer") != CS_OK) {
            fprintf(stderr, "the quorum device cannot be registered\n");
            exit(1);
        }
        while (!has_ring && votequorum_dispatch(device, CS_DISPATCH_ONE) == CS_OK) continue;
    }
    cs_error_t error = votequorum_qdevice_poll(device, "observer", quorate, ring);
    if (error != CS_OK) {
        fprintf(stderr, "the quorum device has no vote: %d\n", error);
        exit(1);
    }
}

static void describe(char *line, const char *key, int type, const void *data, size_t length)
{
    unsigned long long number = 0;
    if (type == CMAP_VALUETYPE_STRING) {
        snprintf(line, LINE, "%s (str) = %.*s", key, (int)length, (const char *)data);
    } else if (type == CMAP_VALUETYPE_UINT64 && length == 8) {
        memcpy(&number, data, 8);
        if (strcmp(key, "last_updated") == 0) snprintf(line, LINE, "%s (u64)", key);
        else snprintf(line, LINE, "%s (u64) = %llu", key, number);
    } else {
        snprintf(line, LINE, "%s (type %d, %zu bytes)", key, type, length);
    }
}

static void on_change(cmap_handle_t map, cmap_track_handle_t track, int32_t event, const char *key,
                      struct cmap_notify_value new_value, struct cmap_notify_value old_value, void *context)
{
    char line[LINE];
    (void)map, (void)track, (void)old_value, (void)context;
    if (strlen(key) < prefix_length) return;
    key += prefix_length;
    if (event == CMAP_TRACK_DELETE) snprintf(line, LINE, "%s deleted", key);
    else describe(line, key, new_value.type, new_value.data, new_value.len);
    /* How often the time stamp changes depends on timing; that it changes, and when first, does not. */
    if (event == CMAP_TRACK_MODIFY && strcmp(key, "last_updated") == 0) return;
    note(changed, &changed_count, line);
    if (getenv("SAM_LIVE")) fprintf(stderr, "  key %s\n", line);
    if (takes_quorum && strcmp(line, "state (str) = waiting for quorum") == 0) set_quorate(1);
}

static void watch(const char *scenario, void (*run)(void))
{
    int gate[2], voice[2], status = 0, done = 0;
    cmap_handle_t map;
    cmap_track_handle_t track;
    cmap_iter_handle_t iterator;
    cmap_value_types_t type;
    char prefix[64], key[CMAP_KEYNAME_MAXLEN + 1], text[8192];
    size_t length, have = 0;
    struct pollfd waits[2];
    time_t end = time(NULL) + PATIENCE_S;

    said_count = changed_count = 0;
    takes_quorum = strncmp(scenario, "quorum", 6) == 0;
    if (takes_quorum) set_quorate(0);
    if (pipe2(gate, O_CLOEXEC) || pipe2(voice, O_CLOEXEC)) abort();
    pid_t subject = fork();
    if (subject == 0) {
        char byte;
        close(gate[1]);
        close(voice[0]);
        mouth = voice[1];
        if (read(gate[0], &byte, 1) != 0) abort();
        if (getenv("SAM_SUBJECT")) {
            if (dup2(mouth, 3) != 3) abort();
            execl(getenv("SAM_SUBJECT"), getenv("SAM_SUBJECT"), scenario, (char *)NULL);
            abort();
        }
        run();
        _exit(98);
    }
    close(gate[0]);
    close(voice[1]);
    prefix_length = snprintf(prefix, sizeof(prefix), "resources.process.%d.", (int)subject);
    if (cmap_initialize(&map) != CS_OK || cmap_fd_get(map, &waits[1].fd) != CS_OK ||
        cmap_track_add(map, prefix, CMAP_TRACK_ADD | CMAP_TRACK_DELETE | CMAP_TRACK_MODIFY | CMAP_TRACK_PREFIX, on_change,
                       NULL, &track) != CS_OK) {
        fprintf(stderr, "no daemon\n");
        exit(1);
    }
    close(gate[1]);
    waits[0].fd = voice[0];
    waits[0].events = waits[1].events = POLLIN;
    while (!done) {
        if (time(NULL) >= end) {
            fprintf(stderr, "%s takes too long\n", scenario);
            kill(subject, SIGKILL);
            exit(1);
        }
        if (poll(waits, 2, 200) < 0) abort();
        if (waits[1].revents & POLLIN) cmap_dispatch(map, CS_DISPATCH_ALL);
        if (waits[0].revents) {
            ssize_t got = read(voice[0], text + have, sizeof(text) - 1 - have);
            if (got <= 0) waits[0].fd = -1;
            else have += got;
            for (char *at; (at = memchr(text, '\n', have)) != NULL;) {
                *at++ = 0;
                note(said, &said_count, text);
                if (getenv("SAM_LIVE")) fprintf(stderr, "  said %s\n", text);
                if (takes_quorum && strcmp(text, "quorate") == 0 && ++takes_quorum == 2) set_quorate(0);
                have -= at - text;
                memmove(text, at, have);
            }
        }
        if (waits[0].fd == -1 && waitpid(subject, &status, 0) == subject) done = 1;
    }
    /* Notifications about what the daemon was told before the subject ended precede the answer to this call. */
    cmap_dispatch(map, CS_DISPATCH_ALL);

    printf("== %s\n", scenario);
    for (int i = 0; i < said_count; i++) printf("said: %s\n", said[i]);
    for (int i = 0; i < changed_count; i++) printf("key: %s\n", changed[i]);
    if (WIFEXITED(status)) printf("ended: status %d\n", WEXITSTATUS(status));
    else printf("ended: signal %d\n", WTERMSIG(status));
    cmap_track_delete(map, track);
    if (cmap_iter_init(map, prefix, &iterator) != CS_OK) abort();
    while (cmap_iter_next(map, iterator, key, &length, &type) == CS_OK) printf("left: %s\n", key + prefix_length);
    cmap_iter_finalize(map, iterator);
    /* The process of the next scenario could get the same id. */
    for (int i = 0; i < 4; i++) {
        static const char *const names[] = { "recovery", "poll_period", "last_updated", "state" };
        snprintf(key, sizeof(key), "%s%s", prefix, names[i]);
        cmap_delete(map, key);
    }
    cmap_finalize(map);
    fflush(stdout);
}

int main(int count, char **words)
{
    size_t all = sizeof(scenarios) / sizeof(scenarios[0]);
    for (size_t i = 0; i < all && count == 1; i++) watch(scenarios[i].name, scenarios[i].run);
    for (int i = 1; i < count; i++) {
        size_t which = 0;
        while (which < all && strcmp(words[i], scenarios[which].name) != 0) which++;
        if (which == all) {
            fprintf(stderr, "no scenario %s\n", words[i]);
            return 2;
        }
        watch(words[i], scenarios[which].run);
    }
    if (has_ring) votequorum_qdevice_unregister(device, "observer");
    return 0;
}
