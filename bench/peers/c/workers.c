/* Peer, for throughput only: worker processes that take packets and count them.
 *
 * Usage: workers fork|reuseport COUNT GROUP PORT OWN_ADDRESS
 *   fork        one socket, opened before the fork; the workers take turns, as pre-forking servers do
 *   reuseport   a socket each with SO_REUSEPORT; the kernel picks one by the packet's addresses, and
 *               gives a multicast packet to all of them
 */
#include "peer.h"
#include <sys/mman.h>
#include <sys/wait.h>

enum { BATCH = 32 };

static void work(int feed, volatile uint64_t *count)
{
    static unsigned char packets[BATCH][PACKET_BYTES];
    struct mmsghdr in[BATCH];
    struct iovec parts[BATCH];
    memset(in, 0, sizeof in);
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){ packets[i], PACKET_BYTES };
        in[i].msg_hdr = (struct msghdr){ .msg_iov = &parts[i], .msg_iovlen = 1 };
    }
    fcntl(feed, F_SETFL, 0);
    while (!peer_has_to_end) {
        int taken = recvmmsg(feed, in, BATCH, MSG_WAITFORONE, NULL);
        if (taken > 0)
            *count += (uint64_t)taken;
    }
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: workers fork|reuseport COUNT GROUP PORT OWN_ADDRESS\n");
        return 2;
    }
    int is_shared = strcmp(argv[1], "fork") == 0, workers = atoi(argv[2]);
    struct sigaction action = { .sa_handler = peer_on_term };
    sigaction(SIGTERM, &action, NULL);
    uint64_t *counts = mmap(NULL, 64 * (size_t)workers, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (counts == MAP_FAILED)
        peer_die("mmap");
    struct peer_line line = peer_read_line(argv + 3);
    int feed = is_shared ? peer_open_feed(&line, 0) : -1;
    pid_t children[64];
    for (int i = 0; i < workers && i < 64; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            work(is_shared ? feed : peer_open_feed(&line, 1), &counts[8 * i]);
            _exit(0);
        }
    }
    peer_ready();
    while (!peer_has_to_end)
        pause();
    for (int i = 0; i < workers && i < 64; i++) {
        kill(children[i], SIGKILL);
        waitpid(children[i], NULL, 0);
        peer_packets += counts[8 * i];
    }
    peer_end();
    return 0;
}
