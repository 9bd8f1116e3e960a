//! The gRPC library's settings for connections.

use std::sync::Arc;

use grpcio::{ChannelBuilder, Environment, ResourceQuota};

use super::patches::channel_stack;
use super::patches::servers::Registration;
use crate::limits;
use crate::memory;
use crate::server::config::ServerConfig;

/// The settings for the connections of a server.
pub fn connection_settings(
    environment: &Arc<Environment>,
    config: &ServerConfig,
    server: &Registration,
) -> ChannelBuilder {
    let grpc_bytes_max = limits::GRPC_BYTES_MAX.min(memory::share(limits::GRPC_SHARE));
    let settings = ChannelBuilder::new(Arc::clone(environment))
        // Two servers on one port would silently share its clients.
        .reuse_port(false)
        .max_concurrent_stream(limits::STREAMS_PER_CONNECTION_MAX as i32)
        .max_receive_message_len(limits::RECEIVE_BYTES_MAX as i32)
        .set_resource_quota(ResourceQuota::new(Some("server")).resize_memory(grpc_bytes_max))
        .raw_cfg_int(c"grpc.server_handshake_timeout_ms".to_owned(), config.handshake_timeout.as_millis() as i32)
        .keepalive_time(config.keepalive_time)
        .keepalive_timeout(config.keepalive_timeout)
        .keepalive_permit_without_calls(true)
        .http2_max_pings_without_data(0)
        .http2_min_recv_ping_interval_without_data(config.ping_interval_min.saturating_sub(limits::PING_JITTER))
        // No message is decompressed: 64 KiB could become 64 MB, on a poller. A client that compresses gets
        // UNIMPLEMENTED.
        .raw_cfg_int(c"grpc.compression_enabled_algorithms_bitset".to_owned(), 1)
        // Disables the library's records of each connection for its channelz service, which is not served.
        .raw_cfg_int(c"grpc.enable_channelz".to_owned(), 0)
        // Its probes answer each small message with a ping without a benefit: messages here are far below a window.
        .http2_bdp_probe(false);
    // Otherwise `guard/budget.rs` closes idle connections.
    #[cfg(not(feature = "core-patches"))]
    let settings =
        settings.raw_cfg_int(c"grpc.max_connection_idle_ms".to_owned(), config.connection_idle_max.as_millis() as i32);
    channel_stack::mark(settings, server)
}
