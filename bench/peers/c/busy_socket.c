/* Peer: `recvmmsg` and `sendmmsg` in a loop that never sleeps. The fastest that plain sockets give. */
#include "peer.h"

enum { BATCH = 32 };

int main(int argc, char **argv)
{
    peer_start(argc, argv);
    int feed = peer_open_feed(&peer_told.line, 0), tcp = peer_log_in();
    static unsigned char packets[BATCH][PACKET_BYTES], orders[BATCH][ORDER_BYTES_MAX];
    struct mmsghdr in[BATCH], out[BATCH];
    struct iovec in_parts[BATCH], out_parts[BATCH];
    memset(in, 0, sizeof in);
    memset(out, 0, sizeof out);
    for (int i = 0; i < BATCH; i++) {
        in_parts[i] = (struct iovec){ packets[i], PACKET_BYTES };
        in[i].msg_hdr = (struct msghdr){ .msg_iov = &in_parts[i], .msg_iovlen = 1 };
        out_parts[i] = (struct iovec){ orders[i], peer_order_len };
        out[i].msg_hdr = (struct msghdr){ .msg_iov = &out_parts[i], .msg_iovlen = 1 };
    }
    peer_ready();
    for (unsigned turn = 0; !peer_has_to_end; turn++) {
        int count = recvmmsg(feed, in, BATCH, MSG_DONTWAIT, NULL), wanted = 0;
        for (int i = 0; i < count; i++)
            if (peer_is_trigger(packets[i], in[i].msg_len))
                peer_write_order(packets[i], orders[wanted++]);
        if (wanted > 0 && sendmmsg(tcp, out, (unsigned)wanted, MSG_NOSIGNAL) != wanted)
            peer_die("sendmmsg");
        /* Answers are taken between packets: nobody waits for them. */
        if (count <= 0 && turn % 16 == 0)
            peer_drain(tcp);
    }
    peer_end();
    return 0;
}
