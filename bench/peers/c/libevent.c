/* Peer: callbacks of libevent (Debian: libevent-dev). */
#include "peer.h"
#include <event2/event.h>

static int tcp;

static void on_feed(evutil_socket_t feed, short what, void *context)
{
    (void)what, (void)context;
    unsigned char packet[PACKET_BYTES];
    ssize_t len;
    while ((len = recv(feed, packet, sizeof packet, 0)) > 0)
        if (peer_is_trigger(packet, (size_t)len))
            peer_send_order(tcp, packet);
}

static void on_answers(evutil_socket_t socket, short what, void *context)
{
    (void)what, (void)context;
    peer_drain(socket);
}

static void on_term(evutil_socket_t signal, short what, void *base)
{
    (void)signal, (void)what;
    event_base_loopbreak(base);
}

int main(int argc, char **argv)
{
    peer_start(argc, argv);
    int feed = peer_open_feed(&peer_told.line, 0);
    tcp = peer_log_in();
    struct event_base *base = event_base_new();
    struct event *events[] = {
        event_new(base, feed, EV_READ | EV_PERSIST, on_feed, NULL),
        event_new(base, tcp, EV_READ | EV_PERSIST, on_answers, NULL),
        evsignal_new(base, SIGTERM, on_term, base),
    };
    for (int i = 0; i < 3; i++)
        if (!events[i] || event_add(events[i], NULL) < 0)
            peer_die("libevent");
    peer_ready();
    event_base_dispatch(base);
    peer_end();
    return 0;
}
