/* The lease channel: what goes over the `lease` descriptor of a lease (iommud-lease-channel(7)).
 *
 * The descriptor is one end of a SOCK_SEQPACKET socket to the lease's keeper. Possession of it is the right to map.
 * Every packet is one of the structures below, little-endian, without padding. A request may carry at most one
 * descriptor (SCM_RIGHTS); each request gets exactly one reply, in the order of requests; events come in between.
 *
 * The lease ends when the last copy of its descriptors is closed, and by any of: IOMMUD_RELEASE, shutdown(2) of the
 * socket (of its reading side alone: at the next answer), an empty packet, a packet that is none of these structures,
 * replies left unread until one does not fit, or 16 descriptors that are neither memory nor sockets.
 */
#ifndef IOMMUD_LEASE_CHANNEL_H
#define IOMMUD_LEASE_CHANNEL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum iommud_op {
    /* Map `length` bytes at `offset` of the memory that comes with the request, at `iova`, or, without
     * IOMMUD_MAP_FIXED, anywhere. Memory is a memfd or a file of tmpfs or hugetlbfs, sealed or not; offset and length
     * must be whole pages of it, inside the file. Pages that are not there yet are made, cleared, and charged to the
     * memory cgroup of the account. Reply: value = the iova. */
    IOMMUD_MAP = 1,
    /* Unmap the whole map that starts at `iova` (length = its length, or 0), or with IOMMUD_UNMAP_ALL every map.
     * Reply: value = bytes unmapped. DMA to the range has ended when the reply is there. */
    IOMMUD_UNMAP = 2,
    /* Reply: iommud_query_reply. */
    IOMMUD_QUERY = 3,
    /* Reply: carries one more descriptor of the same lease, with replies of its own. At most 16 at a time. */
    IOMMUD_DUP = 4,
    /* Ends the lease. Reply: once everything is unmapped and destroyed. */
    IOMMUD_RELEASE = 5,
};

enum iommud_request_flags {
    IOMMUD_MAP_READ = 1,  /* the device may read */
    IOMMUD_MAP_WRITE = 2, /* the device may write: the descriptor must be O_RDWR, and have no write seal */
    IOMMUD_MAP_FIXED = 4, /* at `iova` and nowhere else */
    IOMMUD_UNMAP_ALL = 8,
};

struct iommud_request {
    uint32_t op;     /* enum iommud_op */
    uint32_t flags;  /* enum iommud_request_flags */
    uint64_t cookie; /* yours; comes back in the reply */
    uint64_t offset; /* bytes */
    uint64_t length; /* bytes */
    uint64_t iova;   /* bytes */
};

enum iommud_packet_kind {
    IOMMUD_REPLY = 1,
    IOMMUD_QUERY_REPLY = 2,
    IOMMUD_RELEASE_REQUESTED = 3, /* event: value = usec of CLOCK_MONOTONIC by which to let go */
    IOMMUD_REVOKED = 4,           /* event: the lease has ended; DMA too */
};

struct iommud_reply {
    uint32_t kind;   /* enum iommud_packet_kind */
    uint32_t error;  /* 0, or enum iommud_error */
    uint64_t cookie; /* the request's; 0 for events */
    uint64_t value;
};

/* The numbers of the errors org.iommud1.Error.* that a lease channel gives. */
enum iommud_error {
    IOMMUD_ERROR_NONE = 0,
    IOMMUD_ERROR_MEMORY_LIMIT = 5,       /* value = bytes that were still free under the lease's reservation */
    IOMMUD_ERROR_UNSUPPORTED_MODE = 8,   /* Map or Unmap on a direct lease, whose holder maps in its own context */
    IOMMUD_ERROR_INVALID_ARGUMENT = 10,  /* value = an enum iommud_argument_fault, and where: IOMMUD_FAULT_... */
    IOMMUD_ERROR_INVALID_MEMORY = 11,    /* value = enum iommud_memory_fault */
    IOMMUD_ERROR_LEASE_REVOKED = 13,
    IOMMUD_ERROR_MAP_LIMIT = 64,         /* value = most maps at a time */
    IOMMUD_ERROR_CHANNEL_LIMIT = 65,     /* value = most channels at a time */
    IOMMUD_ERROR_NO_SUCH_MAP = 66,       /* no map starts at that iova with that length */
    IOMMUD_ERROR_KERNEL = 67,            /* value = errno of the kernel's refusal */
};

/* What is wrong with a request, and the address that it is about: one value holds both, for no such address has any of
 * the lower 12 bits. */
#define IOMMUD_FAULT(value) ((uint32_t)((value) & 0xfff))
#define IOMMUD_FAULT_AT(value) ((value) & ~(uint64_t)0xfff)

enum iommud_argument_fault {
    IOMMUD_ARGUMENT_FIELD = 1,   /* a flag that the operation does not have, a Map neither for reading nor for writing,
                                    or a field or descriptor that the operation does not take */
    IOMMUD_ARGUMENT_LENGTH = 2,  /* 0, not whole pages of the memory (at = its page size), or longer than a map can be */
    IOMMUD_ARGUMENT_OFFSET = 3,  /* not whole pages of the memory (at = its page size), or beyond any file's end */
    IOMMUD_IOVA_MISALIGNED = 4,  /* at = what it has to be a multiple of */
    IOMMUD_IOVA_IN_USE = 5,      /* at = where the map starts that is in the way */
    IOMMUD_IOVA_RESERVED = 6,    /* the platform keeps it for itself: at = the first such page of the range */
    IOMMUD_IOVA_BEYOND = 7,      /* above all that devices and IOMMU can address: at = the first such page; 0: all */
    IOMMUD_IOVA_REFUSED = 8,     /* the kernel refuses it, though it lies in the ranges that IOMMUD_QUERY gives */
};

enum iommud_memory_fault {
    IOMMUD_MEMORY_NO_DESCRIPTOR = 1,  /* a Map without a descriptor */
    IOMMUD_MEMORY_NOT_MEMORY = 2,     /* neither a memfd nor a file of tmpfs or hugetlbfs */
    /* 3 and 5 were faults of earlier versions, and are not used again. */
    IOMMUD_MEMORY_NOT_WRITABLE = 4, /* device writes asked of a descriptor that is read-only or sealed against writing;
                                       or device reads of one that is write-only */
    IOMMUD_MEMORY_NO_PAGES = 6,     /* a page of the range cannot be had: it lies beyond the file's end, or there is no
                                       room for it (the file system's size, huge pages set aside) */
};

struct iommud_iova_range {
    uint64_t first; /* bytes, inclusive */
    uint64_t last;
};

struct iommud_query_reply {
    uint32_t kind; /* IOMMUD_QUERY_REPLY */
    uint32_t error;
    uint64_t cookie;
    uint64_t memory_reserved; /* bytes */
    uint64_t memory_mapped;   /* bytes */
    uint64_t page_sizes;      /* bit n: the IOMMU has pages of 2^n bytes */
    uint64_t iova_alignment;  /* bytes */
    uint32_t maps;            /* now */
    uint32_t most_maps;
    uint32_t channels; /* now */
    uint32_t range_count;
    struct iommud_iova_range ranges[16]; /* usable iovas, ascending */
};

#ifdef __cplusplus
} /* extern "C" */
static_assert(sizeof(iommud_request) == 40 && sizeof(iommud_reply) == 24 && sizeof(iommud_query_reply) == 320);
#endif
#endif
