/* libiommud: leases of iommud from C. C++ programs use <iommud/iommud.hpp>, which is a layer over this. See
 * libiommud(3).
 *
 * Functions that can fail return 0, or a number of enum iommud_code or enum iommud_error, and then fill *failure when
 * that is not NULL. Every descriptor that the library makes is close-on-exec. Descriptors that functions return belong
 * to the object they came from, unless said otherwise. All calls block. One thread at a time may use one object;
 * iommud_dup gives another thread or process a channel of its own.
 */
#ifndef IOMMUD_H
#define IOMMUD_H

#include <iommud/lease_channel.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* The rest of the numbers; enum iommud_error (lease_channel.h) has those that a lease channel gives. 1 to 16 are the
 * daemon's org.iommud1.Error.*. */
enum iommud_code {
    IOMMUD_ERROR_ACCESS_DENIED = 1,
    IOMMUD_ERROR_NO_SUCH_DEVICE = 2,
    IOMMUD_ERROR_DEVICE_BUSY = 3,
    IOMMUD_ERROR_GROUP_NOT_VIABLE = 4,
    IOMMUD_ERROR_LEASE_LIMIT = 6,
    IOMMUD_ERROR_DEVICE_LIMIT = 7,
    IOMMUD_ERROR_KERNEL_UNSUPPORTED = 9,
    IOMMUD_ERROR_NO_SUCH_LEASE = 12,
    IOMMUD_ERROR_POLICY_INVALID = 14,
    IOMMUD_ERROR_DRAINING = 15,
    IOMMUD_ERROR_DEVICE_REFUSED = 16, /* by the platform or the kernel: the same request is refused again */
    IOMMUD_ERROR_NO_DAEMON = 128, /* nobody listens at the address, or the daemon closed the connection */
    IOMMUD_ERROR_SYSTEM = 129,    /* a system call of ours failed: error_number says how */
    IOMMUD_ERROR_PROTOCOL = 130,  /* the other side sent what the protocol does not know */
    IOMMUD_ERROR_DAEMON = 131,    /* an error that has no number here: name says which */
};

struct iommud_failure {
    int code;          /* enum iommud_code or enum iommud_error; never 0 */
    int error_number;  /* errno, where there is one behind it; else 0 */
    uint64_t value;    /* what the lease channel's reply said, e.g. the bytes still free; else 0 */
    char name[128];    /* the D-Bus error's name, or "" */
    char message[880]; /* for people; may have been cut; control characters in it are the sender's */
};

/* What a program that ends because of `code` exits with, as iommuctl(1) does: 0 ok, 1 failed, 3 denied by policy,
 * 4 no daemon, 5 limit reached. */
int iommud_exit_code(int code);

/* "0.1.0" */
const char* iommud_version(void);

/* ---- the daemon */

struct iommud_connection;

/* Writes where iommud_connect(NULL, ...) connects to: $IOMMUD_ADDRESS (not in set-uid programs); else, for root, the
 * administrators' socket where there is one; else unix:path=/run/iommud/bus. */
int iommud_default_address(char* address, size_t size, struct iommud_failure* failure);

/* `address`: "unix:path=...", "unix:abstract=...", an absolute path, or NULL. While others fill the daemon's queue of
 * connections (EAGAIN) it is tried again, with pauses, for 5 seconds; then IOMMUD_ERROR_NO_DAEMON. */
int iommud_connect(const char* address, struct iommud_connection** connection, struct iommud_failure* failure);

/* Leases live on without the connection they were acquired through. NULL is fine. */
void iommud_disconnect(struct iommud_connection* connection);

/* ---- leases */

struct iommud_lease;

struct iommud_acquire_options {
    size_t size;       /* sizeof(struct iommud_acquire_options) */
    const char* mode;  /* "managed", "direct" or "legacy"; NULL: managed */
    const char* label; /* for people, in iommuctl leases; NULL: none */
    uint64_t memory;   /* bytes to reserve for maps; 0: the daemon's default */
};

/* Acquires a lease of `devices` ("0000:00:04.0"). Takes as long as the devices' resets: usually 10 ms, up to 2 min.
 * `options` may be NULL. */
int iommud_acquire(struct iommud_connection* connection, const char* const* devices, size_t device_count,
                   const struct iommud_acquire_options* options, struct iommud_lease** lease,
                   struct iommud_failure* failure);

/* A lease from a lease descriptor that was passed on (iommuctl run: $IOMMUD_LEASE_FD; iommud_dup). Owns `channel` from
 * then on, unless it fails. */
int iommud_lease_adopt(int channel, struct iommud_lease** lease, struct iommud_failure* failure);

/* Closes the lease's descriptors. Ends the lease unless copies of its lease descriptor are open elsewhere. May take as
 * long as a device's reset. NULL is fine. */
void iommud_lease_close(struct iommud_lease* lease);

/* D-Bus path of the lease's object; "" for an adopted lease. */
const char* iommud_lease_path(const struct iommud_lease* lease);

/* 1 when the daemon runs on its simulated kernel: there is no device and no DMA. */
int iommud_lease_simulated(const struct iommud_lease* lease);

/* The descriptors that came with the lease: "lease", "device:0000:00:04.0", ... Still the lease's; -1: no such name. */
size_t iommud_lease_fd_count(const struct iommud_lease* lease);
const char* iommud_lease_fd_name(const struct iommud_lease* lease, size_t index); /* NULL beyond the count */
int iommud_lease_fd(const struct iommud_lease* lease, const char* name);

/* ---- what goes over the lease channel */

/* Maps `length` bytes at `offset` of `memfd` for the lease's devices. `flags`: enum iommud_request_flags. `*iova`:
 * where, with IOMMUD_MAP_FIXED; where it came to be, afterwards. See IOMMUD_MAP for what the memory must be. */
int iommud_map(struct iommud_lease* lease, int memfd, uint64_t offset, uint64_t length, uint32_t flags, uint64_t* iova,
               struct iommud_failure* failure);

/* Unmaps the whole map that starts at `iova`; `length` is its length, or 0. `unmapped` (bytes) may be NULL. The
 * devices' DMA to it has ended when this returns. */
int iommud_unmap(struct iommud_lease* lease, uint64_t iova, uint64_t length, uint64_t* unmapped,
                 struct iommud_failure* failure);
int iommud_unmap_all(struct iommud_lease* lease, uint64_t* unmapped, struct iommud_failure* failure);

int iommud_query(struct iommud_lease* lease, struct iommud_query_reply* reply, struct iommud_failure* failure);

/* One more lease descriptor, for another process or iommud_lease_adopt: the caller's to close. */
int iommud_dup(struct iommud_lease* lease, int* channel, struct iommud_failure* failure);

/* Ends the lease for everybody who has it, and waits until its memory is unmapped. iommud_lease_close is still due. */
int iommud_release(struct iommud_lease* lease, struct iommud_failure* failure);

enum iommud_event_kind {
    IOMMUD_EVENT_NONE = 0,              /* nothing within the time */
    IOMMUD_EVENT_RELEASE_REQUESTED = 1, /* let go by `deadline` */
    IOMMUD_EVENT_REVOKED = 2,           /* the lease has ended; DMA too */
    IOMMUD_EVENT_ENDED = 3,             /* the channel was closed: the lease has ended, and nothing more will come */
};

struct iommud_event {
    uint32_t kind;     /* enum iommud_event_kind */
    uint32_t reserved; /* 0 */
    uint64_t deadline; /* usec of CLOCK_MONOTONIC, for RELEASE_REQUESTED; else 0 */
};

/* The next event. Waits `timeout_ms` at most: 0 not at all, -1 for ever. To wait in an event loop, poll
 * iommud_lease_fd(lease, "lease") for POLLIN, after a call with 0 said NONE: events that came in between replies are
 * queued in here. */
int iommud_next_event(struct iommud_lease* lease, int timeout_ms, struct iommud_event* event,
                      struct iommud_failure* failure);

/* ---- memory that can be mapped */

struct iommud_memory;

enum iommud_memory_flags {
    IOMMUD_MEMORY_HUGE_2M = 1, /* pages of 2 MiB from the system's pool (vm.nr_hugepages) */
    IOMMUD_MEMORY_HUGE_1G = 2,
};

/* A memfd of `length` bytes, rounded up to whole pages, sealed against changes of size, mapped into this process, every
 * page touched. It is charged to this process's memory cgroup. */
int iommud_memory_create(size_t length, uint32_t flags, struct iommud_memory** memory, struct iommud_failure* failure);
void* iommud_memory_address(const struct iommud_memory* memory);
size_t iommud_memory_length(const struct iommud_memory* memory);
int iommud_memory_fd(const struct iommud_memory* memory);

/* What devices have mapped stays theirs until it is unmapped. NULL is fine. */
void iommud_memory_free(struct iommud_memory* memory);

#pragma GCC visibility pop
#ifdef __cplusplus
} /* extern "C" */
#endif
#endif
