/* Peer: one epoll loop that sleeps until something is there. What most services are. */
#include "peer.h"
#include <sys/epoll.h>

int main(int argc, char **argv)
{
    peer_start(argc, argv);
    int feed = peer_open_feed(&peer_told.line, 0), tcp = peer_log_in(), epoll = epoll_create1(0);
    int sockets[] = { feed, tcp };
    for (int i = 0; i < 2; i++) {
        struct epoll_event wanted = { .events = EPOLLIN, .data.fd = sockets[i] };
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, sockets[i], &wanted) < 0)
            peer_die("epoll_ctl");
    }
    peer_ready();
    while (!peer_has_to_end) {
        struct epoll_event events[2];
        int count = epoll_wait(epoll, events, 2, 100);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == tcp) {
                peer_drain(tcp);
                continue;
            }
            unsigned char packet[PACKET_BYTES];
            ssize_t len;
            while ((len = recv(feed, packet, sizeof packet, 0)) > 0)
                if (peer_is_trigger(packet, (size_t)len))
                    peer_send_order(tcp, packet);
        }
    }
    peer_end();
    return 0;
}
