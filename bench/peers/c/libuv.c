/* Peer: callbacks of libuv (Debian: libuv1-dev). */
#include "peer.h"
#include <uv.h>

static uv_tcp_t tcp;
static unsigned char packet[1 << 16], answers[1 << 16];

static void give_packet(uv_handle_t *handle, size_t wanted, uv_buf_t *buffer)
{
    (void)handle, (void)wanted;
    *buffer = uv_buf_init((char *)packet, PACKET_BYTES);
}

static void give_answers(uv_handle_t *handle, size_t wanted, uv_buf_t *buffer)
{
    (void)handle, (void)wanted;
    *buffer = uv_buf_init((char *)answers, sizeof answers);
}

static void on_packet(uv_udp_t *feed, ssize_t len, const uv_buf_t *buffer,
                      const struct sockaddr *from, unsigned flags)
{
    (void)feed, (void)from, (void)flags;
    if (len <= 0 || !peer_is_trigger((unsigned char *)buffer->base, (size_t)len))
        return;
    unsigned char order[ORDER_BYTES_MAX];
    peer_write_order((unsigned char *)buffer->base, order);
    uv_buf_t out = uv_buf_init((char *)order, (unsigned)peer_order_len);
    if (uv_try_write((uv_stream_t *)&tcp, &out, 1) != (int)peer_order_len)
        peer_die("uv_try_write");
}

static void on_answers(uv_stream_t *stream, ssize_t len, const uv_buf_t *buffer)
{
    (void)stream, (void)len, (void)buffer;
}

static void on_term(uv_signal_t *handle, int signal)
{
    (void)signal;
    uv_stop(handle->loop);
}

int main(int argc, char **argv)
{
    peer_start(argc, argv);
    uv_loop_t *loop = uv_default_loop();
    uv_udp_t feed;
    uv_signal_t term;
    int failed = uv_udp_init(loop, &feed) || uv_udp_open(&feed, peer_open_feed(&peer_told.line, 0))
        || uv_tcp_init(loop, &tcp) || uv_tcp_open(&tcp, peer_log_in())
        || uv_signal_init(loop, &term) || uv_signal_start(&term, on_term, SIGTERM)
        || uv_udp_recv_start(&feed, give_packet, on_packet)
        || uv_read_start((uv_stream_t *)&tcp, give_answers, on_answers);
    if (failed)
        peer_die("libuv");
    peer_ready();
    uv_run(loop, UV_RUN_DEFAULT);
    peer_end();
    return 0;
}
