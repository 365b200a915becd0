/* What every C peer shares: its sockets, the constant order, and the trigger.
 *
 *   feed:   MoldUDP64 over UDP multicast; a packet is a trigger when the locate code of its first message
 *           is the one given. Nothing else is decoded.
 *   orders: SoupBinTCP. The order is ready before the first packet; a trigger patches in its reference
 *           number and the packet's sequence number, by which the exchange knows what caused it.
 *
 * Usage: PEER GROUP PORT OWN_ADDRESS EXCHANGE EXCHANGE_PORT TRIGGER_LOCATE CPU LOGIN_HEX ORDER_HEX
 * It says "ready" on standard error once it is logged in, and its counts when SIGTERM ends it.
 */
#ifndef TICKGATE_PEER_H
#define TICKGATE_PEER_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    MOLD_SEQUENCE = 10,   /* big-endian, 8 bytes */
    FIRST_LOCATE = 23,    /* header 20, length 2, type 1 */
    ORDER_USER_REF = 4,   /* SoupBinTCP header 3, type 1 */
    ORDER_BYTES_MAX = 128,
    PACKET_BYTES = 2048,
};

static volatile sig_atomic_t peer_has_to_end;
static uint64_t peer_packets, peer_orders;
static unsigned char peer_order[ORDER_BYTES_MAX];
static size_t peer_order_len;
static size_t peer_order_id_at;
static uint32_t peer_user_ref;
static unsigned char peer_trigger[2];

/* A line of the feed, and the own address on it. */
struct peer_line {
    struct sockaddr_in group;
    struct in_addr own;
};

/* What the arguments say beside order and trigger. */
static struct {
    struct peer_line line;
    struct sockaddr_in exchange;
    unsigned char login[256];
    size_t login_len;
} peer_told;

static void peer_die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static void peer_on_term(int signal)
{
    (void)signal;
    peer_has_to_end = 1;
}

static size_t peer_unhex(const char *text, unsigned char *out, size_t room)
{
    size_t len = strlen(text) / 2;
    if (len > room) {
        errno = EMSGSIZE;
        peer_die("hex argument");
    }
    for (size_t i = 0; i < len; i++) {
        unsigned value = 0;
        if (sscanf(text + 2 * i, "%2x", &value) != 1) {
            errno = EINVAL;
            peer_die("hex argument");
        }
        out[i] = (unsigned char)value;
    }
    return len;
}

static struct sockaddr_in peer_address(const char *address, const char *port)
{
    struct sockaddr_in out = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };
    if (inet_pton(AF_INET, address, &out.sin_addr) != 1) {
        errno = EINVAL;
        peer_die(address);
    }
    return out;
}

/* Three arguments: GROUP PORT OWN_ADDRESS. */
static struct peer_line peer_read_line(char **argv)
{
    return (struct peer_line){ peer_address(argv[0], argv[1]), peer_address(argv[2], "0").sin_addr };
}

static int peer_open_feed(const struct peer_line *line, int reuse_port)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0)
        peer_die("socket");
    int yes = 1, buffer = 8 << 20;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
    if (reuse_port)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes);
    if (bind(fd, (const struct sockaddr *)&line->group, sizeof line->group) < 0)
        peer_die("bind");
    struct ip_mreq membership = { line->group.sin_addr, line->own };
    if (IN_MULTICAST(ntohl(line->group.sin_addr.s_addr))
        && setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &membership, sizeof membership) < 0)
        peer_die("joining the group");
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        peer_die("O_NONBLOCK");
    return fd;
}

static inline int peer_log_in(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    const struct sockaddr_in *exchange = &peer_told.exchange;
    int tries = 0;
    while (connect(fd, (const struct sockaddr *)exchange, sizeof *exchange) < 0)
        if (++tries > 100 || usleep(50000) < 0)
            peer_die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (send(fd, peer_told.login, peer_told.login_len, MSG_NOSIGNAL) != (ssize_t)peer_told.login_len)
        peer_die("login");
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        peer_die("O_NONBLOCK");
    return fd;
}

/* Reads the arguments; pins to the CPU. */
static inline void peer_start(int argc, char **argv)
{
    if (argc != 10) {
        fprintf(stderr, "expected 9 arguments, got %d: see peer.h\n", argc - 1);
        exit(2);
    }
    struct sigaction action = { .sa_handler = peer_on_term };
    sigaction(SIGTERM, &action, NULL);
    peer_told.line = peer_read_line(argv + 1);
    peer_told.exchange = peer_address(argv[4], argv[5]);
    peer_told.login_len = peer_unhex(argv[8], peer_told.login, sizeof peer_told.login);
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(atoi(argv[7]), &cpus);
    if (sched_setaffinity(0, sizeof cpus, &cpus) < 0)
        peer_die("CPU");
    unsigned locate = (unsigned)atoi(argv[6]);
    peer_trigger[0] = (unsigned char)(locate >> 8);
    peer_trigger[1] = (unsigned char)locate;
    peer_order_len = peer_unhex(argv[9], peer_order, sizeof peer_order);
    /* The last field in front of the length of the appendage: 14 characters, 10 of them the number. */
    peer_order_id_at = peer_order_len - 2 - 10;
}

static void peer_ready(void)
{
    fprintf(stderr, "ready\n");
}

static void peer_end(void)
{
    fprintf(stderr, "packets %llu orders %llu\n", (unsigned long long)peer_packets,
            (unsigned long long)peer_orders);
}

static inline int peer_is_trigger(const unsigned char *packet, size_t len)
{
    peer_packets++;
    return len > FIRST_LOCATE + 1 && packet[FIRST_LOCATE] == peer_trigger[0]
        && packet[FIRST_LOCATE + 1] == peer_trigger[1];
}

/* Writes the order for a trigger into `out`, `peer_order_len` bytes. */
static inline void peer_write_order(const unsigned char *packet, unsigned char *out)
{
    static const char digits[] = "0123456789ABCDEF";
    memcpy(out, peer_order, peer_order_len);
    uint32_t user_ref = htonl(++peer_user_ref);
    memcpy(out + ORDER_USER_REF, &user_ref, sizeof user_ref);
    for (int i = 0; i < 5; i++) {
        unsigned char byte = packet[MOLD_SEQUENCE + 3 + i];
        out[peer_order_id_at + 2 * i] = (unsigned char)digits[byte >> 4];
        out[peer_order_id_at + 2 * i + 1] = (unsigned char)digits[byte & 15];
    }
    peer_orders++;
}

/* Sends one order; a full socket buffer would be a fault of the measurement, so it ends the peer. */
static inline void peer_send_order(int tcp, const unsigned char *packet)
{
    unsigned char order[ORDER_BYTES_MAX];
    peer_write_order(packet, order);
    if (send(tcp, order, peer_order_len, MSG_NOSIGNAL) != (ssize_t)peer_order_len)
        peer_die("send");
}

/* Takes the exchange's answers, which nobody reads. */
static inline void peer_drain(int tcp)
{
    unsigned char answers[4096];
    while (recv(tcp, answers, sizeof answers, 0) == (ssize_t)sizeof answers)
        ;
}

#endif
