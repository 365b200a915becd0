// The XDP program of an interface whose TCP is a process's own: TCP over IPv4 and ARP go to that process's AF_XDP socket,
// everything else to the kernel.
//
// It knows no libbpf and no kernel headers, so that clang alone builds it.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SECTION(name) __attribute__((section(name), used))

struct xdp_md {
    u32 data;
    u32 data_end;
    u32 data_meta;
    u32 ingress_ifindex;
    u32 rx_queue_index;
};

enum { XDP_PASS = 2 };
enum { MAP_XSKMAP = 17 };

static long (*const redirect_map)(void *map, u64 key, u64 flags) = (void *)51;

// The socket of the interface's only queue.
struct {
    int (*type)[MAP_XSKMAP];
    int (*max_entries)[1];
    u32 *key;
    u32 *value;
} sockets SECTION(".maps");

SECTION("xdp")
int own(struct xdp_md *ctx)
{
    const u8 *at = (const u8 *)(long)ctx->data;
    const u8 *end = (const u8 *)(long)ctx->data_end;

    if (at + 14 + 20 > end)
        return XDP_PASS;
    u16 ether_type = (u16)(at[12] << 8 | at[13]);
    if (ether_type == 0x0806 || (ether_type == 0x0800 && at[14 + 9] == 6))
        return (int)redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS);
    return XDP_PASS;
}

char _license[] SECTION("license") = "Dual MIT/GPL";
