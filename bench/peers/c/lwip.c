/* Peer: lwIP, a TCP that is a library in user space, on a packet socket. What busy_socket does but for that.
 *
 *   feed ─> recvmmsg ─> two bytes compared ─> constant order ─> lwIP ─> packet socket ─> wire
 *
 * Debian's build of lwIP has threads; without `tcpip_init` there is none, and this loop looks at its timers. It has an address of its own
 * beside the kernel's, whose TCP knows nothing of the connection and would end it.
 */
#include "peer.h"

#include <ifaddrs.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <time.h>

#undef TCP_MSS /* The kernel's header has another one. */
#include <lwip/etharp.h>
#include <lwip/init.h>
#include <lwip/netif.h>
#include <lwip/tcp.h>
#include <lwip/timeouts.h>
#include <netif/ethernet.h>

enum {
    BATCH = 32,
    FRAME_BYTES = 2048,
    OWN_BESIDE = 64,    /* what the address has more than the kernel's, in its last byte */
    FIRST_PORT = 49152, /* RFC 6335: nobody is given one of these 16,384 */
};

static int card;
static unsigned char card_address[ETH_ALEN];
static int is_connected;

/* The interface on the exchange's network, and the kernel's address there. */
static struct in_addr open_card(void)
{
    struct ifaddrs *all;
    if (getifaddrs(&all) < 0)
        peer_die("getifaddrs");
    for (struct ifaddrs *it = all; it; it = it->ifa_next) {
        if (!it->ifa_addr || it->ifa_addr->sa_family != AF_INET || !it->ifa_netmask)
            continue;
        struct in_addr own = ((struct sockaddr_in *)it->ifa_addr)->sin_addr;
        in_addr_t mask = ((struct sockaddr_in *)it->ifa_netmask)->sin_addr.s_addr;
        if ((own.s_addr & mask) != (peer_told.exchange.sin_addr.s_addr & mask))
            continue;
        card = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(ETH_P_ALL));
        struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
        at.sll_ifindex = (int)if_nametoindex(it->ifa_name);
        socklen_t len = sizeof at;
        int yes = 1;
        if (card < 0 || bind(card, (struct sockaddr *)&at, sizeof at) < 0
            || getsockname(card, (struct sockaddr *)&at, &len) < 0)
            peer_die("a packet socket");
        /* Neither what the kernel sends, nor a queue before the driver. */
        if (setsockopt(card, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof yes) < 0
            || setsockopt(card, SOL_PACKET, PACKET_QDISC_BYPASS, &yes, sizeof yes) < 0)
            peer_die("the packet socket's options");
        memcpy(card_address, at.sll_addr, ETH_ALEN);
        freeifaddrs(all);
        return own;
    }
    errno = ENODEV;
    peer_die("the exchange's network");
    exit(1);
}

static err_t send_frame(struct netif *netif, struct pbuf *frame)
{
    (void)netif; /* One buffer a frame: LWIP_NETIF_TX_SINGLE_PBUF. What is not sent TCP sends again. */
    return send(card, frame->payload, frame->len, 0) < 0 ? ERR_IF : ERR_OK;
}

static err_t begin(struct netif *netif)
{
    netif->output = etharp_output;
    netif->linkoutput = send_frame;
    netif->mtu = 1500;
    netif->hwaddr_len = ETH_ALEN;
    memcpy(netif->hwaddr, card_address, ETH_ALEN);
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_LINK_UP;
    return ERR_OK;
}

static uint32_t sum(uint32_t before, const unsigned char *bytes, size_t len)
{
    for (size_t i = 0; i + 1 < len; i += 2)
        before += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
    return len % 2 ? before + (uint32_t)(bytes[len - 1] << 8) : before;
}

/* A virtual interface hands on what its host has sent without a sum. The kernel is told; lwIP looks, so the sum is made good. */
static void sum_up(unsigned char *frame, size_t len)
{
    unsigned char *ip = frame + ETH_HLEN;
    if (len < ETH_HLEN + 40 || frame[12] != 8 || frame[13] != 0 || ip[9] != IPPROTO_TCP)
        return;
    size_t header = (size_t)(ip[0] & 15) * 4, whole = (size_t)(ip[2] << 8 | ip[3]);
    if (header < 20 || whole < header + 20 || whole > len - ETH_HLEN)
        return;
    unsigned char *tcp = ip + header;
    tcp[16] = tcp[17] = 0;
    uint32_t all = sum(sum((uint32_t)(IPPROTO_TCP + whole - header), ip + 12, 8), tcp, whole - header);
    all = (all & 0xFFFF) + (all >> 16);
    all = ~((all & 0xFFFF) + (all >> 16));
    tcp[16] = (unsigned char)(all >> 8);
    tcp[17] = (unsigned char)all;
}

/* Everything that has arrived, and all that is due. */
static void poll_card(struct netif *netif)
{
    static unsigned char frame[FRAME_BYTES];
    ssize_t len;
    while ((len = recv(card, frame, sizeof frame, 0)) > 0) {
        sum_up(frame, (size_t)len);
        struct pbuf *taken = pbuf_alloc(PBUF_RAW, (u16_t)len, PBUF_RAM);
        if (!taken)
            peer_die("no memory for a frame");
        pbuf_take(taken, frame, (u16_t)len);
        if (netif->input(taken, netif) != ERR_OK)
            pbuf_free(taken);
    }
    sys_check_timeouts();
}

static err_t on_connected(void *argument, struct tcp_pcb *pcb, err_t error)
{
    (void)argument, (void)pcb;
    is_connected = error == ERR_OK;
    return ERR_OK;
}

/* Takes the exchange's answers, which nobody reads. */
static err_t on_answers(void *argument, struct tcp_pcb *pcb, struct pbuf *answers, err_t error)
{
    (void)argument, (void)error;
    if (!answers) {
        peer_has_to_end = 1;
        return ERR_OK;
    }
    tcp_recved(pcb, answers->tot_len);
    pbuf_free(answers);
    return ERR_OK;
}

static void on_end(void *argument, err_t error)
{
    (void)argument;
    fprintf(stderr, "lwIP has lost the connection: %d\n", error);
    exit(1);
}

static struct tcp_pcb *log_in(struct netif *netif, struct in_addr own)
{
    ip_addr_t address = IPADDR4_INIT(own.s_addr), exchange = IPADDR4_INIT(peer_told.exchange.sin_addr.s_addr);
    ip4_addr_t mask = { htonl(0xFFFFFF00) }, gateway = { 0 };
    netif_add(netif, ip_2_ip4(&address), &mask, &gateway, NULL, begin, ethernet_input);
    netif_set_default(netif);
    netif_set_up(netif);
    struct tcp_pcb *pcb = tcp_new();
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    u16_t port = (u16_t)(FIRST_PORT + (unsigned)(getpid() ^ (now.tv_nsec >> 10)) % 16384);
    if (!pcb || tcp_bind(pcb, &address, port) != ERR_OK)
        peer_die("lwIP's socket");
    tcp_nagle_disable(pcb);
    tcp_recv(pcb, on_answers);
    tcp_err(pcb, on_end);
    if (tcp_connect(pcb, &exchange, ntohs(peer_told.exchange.sin_port), on_connected) != ERR_OK)
        peer_die("connect");
    while (!is_connected && !peer_has_to_end)
        poll_card(netif);
    if (tcp_write(pcb, peer_told.login, (u16_t)peer_told.login_len, TCP_WRITE_FLAG_COPY) != ERR_OK
        || tcp_output(pcb) != ERR_OK)
        peer_die("login");
    /* Until it has been acknowledged: the first order shall find a connection that has been used. */
    while (pcb->unacked && !peer_has_to_end)
        poll_card(netif);
    return pcb;
}

int main(int argc, char **argv)
{
    peer_start(argc, argv);
    int feed = peer_open_feed(&peer_told.line, 0);
    struct in_addr own = open_card();
    own.s_addr = htonl(ntohl(own.s_addr) + OWN_BESIDE);
    struct netif netif;
    memset(&netif, 0, sizeof netif);
    lwip_init();
    struct tcp_pcb *pcb = log_in(&netif, own);
    static unsigned char packets[BATCH][PACKET_BYTES];
    struct mmsghdr in[BATCH];
    struct iovec parts[BATCH];
    memset(in, 0, sizeof in);
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){ packets[i], PACKET_BYTES };
        in[i].msg_hdr = (struct msghdr){ .msg_iov = &parts[i], .msg_iovlen = 1 };
    }
    peer_ready();
    for (unsigned turn = 0; !peer_has_to_end; turn++) {
        int count = recvmmsg(feed, in, BATCH, MSG_DONTWAIT, NULL), wanted = 0;
        for (int i = 0; i < count; i++) {
            unsigned char order[ORDER_BYTES_MAX];
            if (!peer_is_trigger(packets[i], in[i].msg_len))
                continue;
            peer_write_order(packets[i], order);
            if (tcp_write(pcb, order, (u16_t)peer_order_len, TCP_WRITE_FLAG_COPY) != ERR_OK)
                peer_die("lwIP has no room for an order");
            wanted++;
        }
        if (wanted > 0 && tcp_output(pcb) != ERR_OK)
            peer_die("tcp_output");
        /* Answers are taken between packets: nobody waits for them. */
        if (count <= 0 && turn % 16 == 0)
            poll_card(&netif);
    }
    peer_end();
    tcp_err(pcb, NULL);
    tcp_close(pcb);
    for (int i = 0; i < 100 && usleep(1000) == 0; i++)
        poll_card(&netif);
    return 0;
}
