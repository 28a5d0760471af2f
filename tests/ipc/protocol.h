/* The requests of the test programs; echo.rs has the same in Rust.
 *
 *   1  echo: answered with a 24-byte header and the payload
 *   2  post: no answer; its payload comes back as an event
 *   3  burst: payload {u32 count, u32 size}; that many events of that size, numbered at offset 24, and an
 *      answer of 24 bytes
 *   4  count: answered with 24 bytes; error = how many requests 5 have arrived
 *   5  tick: no answer, only counted
 */
#include <stdint.h>
#include <qb/qbdefs.h>
#include <qb/qbipc_common.h>

enum { ECHO = 1, POST = 2, BURST = 3, COUNT = 4, TICK = 5 };
#define LARGEST 1048576

struct request {
	struct qb_ipc_request_header header;
	unsigned char payload[];
};

struct response {
	struct qb_ipc_response_header header;
	unsigned char payload[];
};

struct burst {
	struct qb_ipc_request_header header;
	uint32_t count;
	uint32_t size;
};
