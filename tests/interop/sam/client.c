/* A client of Debian's libsam for the interop tests. It prints what sam_register returns and what happens to it.
 *
 *   sam-client quit       stops its health checks: it is ended
 *   sam-client restart    stops its health checks once: it is restarted with its data
 *   sam-client callback   the library asks for its health; once it answers that it is unhealthy
 *   sam-client quorum     runs only with quorum, and is restarted when quorum is lost
 *   sam-client cmap       publishes its state in the configuration database
 */
#include <corosync/sam.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned int instance;
static int asked;
static volatile sig_atomic_t warning;

static void said(const char *call, cs_error_t result) { printf("%u: %s: %d\n", instance, call, result); }

static void warned(int number) {
    static const char text[] = "warned\n";
    (void)number;
    warning = 1;
    if (write(1, text, sizeof(text) - 1) < 0) {
        _exit(9);
    }
}

static int healthy(void) {
    asked++;
    if (asked == 3) {
        printf("%u: asked three times\n", instance);
        if (instance == 1) {
            return 1;
        }
        said("sam_stop", sam_stop());
        said("sam_finalize", sam_finalize());
        exit(0);
    }
    return 0;
}

static void silent(void) {
    for (;;) {
        pause();
    }
}

static void remembered(void) {
    char data[64] = "";
    size_t size = 0;
    said("sam_data_getsize", sam_data_getsize(&size));
    printf("%u: %zu bytes\n", instance, size);
    if (size > 0 && size <= sizeof(data)) {
        said("sam_data_restore", sam_data_restore(data, sizeof(data)));
        printf("%u: %s\n", instance, data);
    }
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "";
    sam_recovery_policy_t policy = SAM_RECOVERY_POLICY_RESTART;
    if (strcmp(mode, "quit") == 0) {
        policy = SAM_RECOVERY_POLICY_QUIT;
    } else if (strcmp(mode, "quorum") == 0) {
        policy = SAM_RECOVERY_POLICY_QUORUM_RESTART;
    } else if (strcmp(mode, "cmap") == 0) {
        policy = (sam_recovery_policy_t)(SAM_RECOVERY_POLICY_RESTART | SAM_RECOVERY_POLICY_CMAP);
    } else if (strcmp(mode, "restart") != 0 && strcmp(mode, "callback") != 0) {
        fprintf(stderr, "sam-client quit|restart|callback|quorum|cmap\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    said("sam_start, too early", sam_start());
    said("sam_initialize", sam_initialize(1000, policy));
    said("sam_initialize, again", sam_initialize(1000, policy));
    said("sam_hc_send, too early", sam_hc_send());
    said("sam_warn_signal_set", sam_warn_signal_set(SIGUSR1));
    said("sam_data_store", sam_data_store("kept", 5));
    said("sam_register", sam_register(&instance));
    signal(SIGUSR1, warned);
    printf("instance %u\n", instance);
    remembered();
    if (instance == 1) {
        said("sam_data_store", sam_data_store("kept by the first", 18));
    }
    if (strcmp(mode, "callback") == 0) {
        said("sam_hc_callback_register", sam_hc_callback_register(healthy));
    }
    if (strcmp(mode, "cmap") == 0) {
        /* The test reads the database before it lets this client go on. */
        printf("%u: registered\n", instance);
        if (instance == 1 && getchar() == EOF) {
            return 3;
        }
    }
    said("sam_start", sam_start());
    said("sam_start, again", sam_start());
    if (strcmp(mode, "callback") == 0) {
        silent();
    }
    if (strcmp(mode, "quorum") == 0) {
        /* A process that was warned is not killed as long as it reports that it is healthy. */
        while (!warning) {
            sam_hc_send();
            usleep(200000);
        }
        silent();
    }
    for (int i = 0; i < 3; i++) {
        said("sam_hc_send", sam_hc_send());
        usleep(200000);
    }
    if (strcmp(mode, "cmap") == 0 && instance == 1) {
        printf("%u: started\n", instance);
        for (int i = 0; i < 3000; i++) {
            sam_hc_send();
            usleep(100000);
            if (access("/run/sam-go-on", F_OK) == 0) {
                break;
            }
        }
        /* The process may be killed before it can print the result. */
        sam_mark_failed();
        silent();
    }
    if (instance == 1) {
        silent();
    }
    said("sam_stop", sam_stop());
    said("sam_stop, again", sam_stop());
    said("sam_finalize", sam_finalize());
    return 0;
}
