// The XDP program, one for all feeds of an interface: wanted UDP datagrams go to the AF_XDP socket that their
// feed has on their receive queue, with the time in front of them; everything else goes to the kernel untouched.
//
//   Ethernet -> up to two VLAN tags -> IPv4 -> UDP -> (address, port) wanted by a feed? -> stamp -> its socket
//
// It knows no libbpf and no kernel headers, so that clang alone builds it. Each way through it counts
// once in `verdicts`. An IPv4 fragment has no port, or hides its rest: it is the kernel's.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SECTION(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))

struct xdp_md {
    u32 data;
    u32 data_end;
    u32 data_meta;
    u32 ingress_ifindex;
    u32 rx_queue_index;
    u32 egress_ifindex;
};

enum { XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT };
enum { MAP_HASH = 1, MAP_PERCPU_ARRAY = 6, MAP_XSKMAP = 17 };

static void *(*const map_lookup)(void *map, const void *key) = (void *)1;
static u64 (*const ktime_get_ns)(void) = (void *)5;
static long (*const redirect_map)(void *map, u64 key, u64 flags) = (void *)51;
static long (*const adjust_meta)(struct xdp_md *ctx, int delta) = (void *)54;

// Causes, in the order of `Verdict` on the Rust side.
enum {
    REDIRECTED,
    PASSED_NOT_WANTED,
    PASSED_NOT_IPV4,
    PASSED_NOT_UDP,
    PASSED_FRAGMENT,
    PASSED_TRUNCATED,
    PASSED_NO_SOCKET,
    REDIRECTED_UNSTAMPED,
    CAUSES,
};

struct destination {
    u32 address; // as on the wire
    u16 port;    // as on the wire
    u16 zero;
};

// "tickgate" in front of the stamp says that the stamp is there: not every driver has room for it.
struct stamp {
    u64 mark;
    u64 ns;
};
#define STAMP_MARK 0x657461676b636974ULL

#define MAP(name, map_type, key_type, value_type, entries) \
    struct {                                               \
        int (*type)[map_type];                             \
        int (*max_entries)[entries];                       \
        key_type *key;                                     \
        value_type *value;                                 \
    } name SECTION(".maps")

// FEEDS_MAX and QUEUES_MAX on the Rust side.
#define FEEDS 64
#define QUEUES 64

// The number of the feed that wants it.
MAP(wanted, MAP_HASH, struct destination, u32, 1024);
// Each feed has a place for each queue, so that no queue's frames can reach the socket of another feed there.
MAP(sockets, MAP_XSKMAP, u32, u32, FEEDS *QUEUES);
MAP(verdicts, MAP_PERCPU_ARRAY, u32, u64, CAUSES);
MAP(redirected, MAP_PERCPU_ARRAY, u32, u64, FEEDS *QUEUES);
// A feed's wanted frames of a queue on which it has no socket; those of queues beyond 64 in its last place.
MAP(unserved, MAP_PERCPU_ARRAY, u32, u64, FEEDS *(QUEUES + 1));

INLINE int counted(u32 cause, int action)
{
    u64 *count = map_lookup(&verdicts, &cause);
    if (count)
        ++*count;
    return action;
}

INLINE u16 be16(const u8 *bytes)
{
    return (u16)(bytes[0] << 8 | bytes[1]);
}

SECTION("xdp")
int steer(struct xdp_md *ctx)
{
    u8 *at = (u8 *)(long)ctx->data;
    u8 *end = (u8 *)(long)ctx->data_end;

    if (at + 14 > end)
        return counted(PASSED_TRUNCATED, XDP_PASS);
    u16 ether_type = be16(at + 12);
    at += 14;
#pragma unroll
    for (int tag = 0; tag < 2; tag++) {
        if (ether_type != 0x8100 && ether_type != 0x88A8)
            break;
        if (at + 4 > end)
            return counted(PASSED_TRUNCATED, XDP_PASS);
        ether_type = be16(at + 2);
        at += 4;
    }
    if (ether_type != 0x0800)
        return counted(PASSED_NOT_IPV4, XDP_PASS);

    if (at + 20 > end)
        return counted(PASSED_TRUNCATED, XDP_PASS);
    if (at[9] != 17)
        return counted(PASSED_NOT_UDP, XDP_PASS);
    if (be16(at + 6) & 0x3FFF)
        return counted(PASSED_FRAGMENT, XDP_PASS);
    struct destination to = {.zero = 0};
    __builtin_memcpy(&to.address, at + 16, 4);
    u32 header_len = (at[0] & 15) * 4;
    if (header_len < 20)
        return counted(PASSED_NOT_UDP, XDP_PASS);
    at += header_len;
    if (at + 8 > end)
        return counted(PASSED_TRUNCATED, XDP_PASS);
    __builtin_memcpy(&to.port, at + 2, 2);
    u32 *feed = map_lookup(&wanted, &to);
    if (!feed)
        return counted(PASSED_NOT_WANTED, XDP_PASS);

    u32 queue = ctx->rx_queue_index < QUEUES ? ctx->rx_queue_index : QUEUES;
    u32 place = *feed * QUEUES + queue;
    if (queue == QUEUES || !map_lookup(&sockets, &place)) {
        place = *feed * (QUEUES + 1) + queue;
        u64 *missed = map_lookup(&unserved, &place);
        if (missed)
            ++*missed;
        return counted(PASSED_NO_SOCKET, XDP_PASS);
    }
    u64 *count = map_lookup(&redirected, &place);
    if (count)
        ++*count;
    u32 cause = REDIRECTED_UNSTAMPED;
    if (adjust_meta(ctx, -(int)sizeof(struct stamp)) == 0) {
        struct stamp *stamp = (void *)(long)ctx->data_meta;
        if ((void *)(stamp + 1) <= (void *)(long)ctx->data) {
            stamp->mark = STAMP_MARK;
            stamp->ns = ktime_get_ns();
            cause = REDIRECTED;
        }
    }
    return counted(cause, (int)redirect_map(&sockets, place, XDP_PASS));
}

char _license[] SECTION("license") = "Dual MIT/GPL";
