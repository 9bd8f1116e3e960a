// The budget of a connection within the C core's HTTP/2 transport. `transport.rs` explains why.
//
// The linker puts the functions here in the place of those that they wrap (`ld --wrap`), in all calls from other object
// files. build.rs has the same list of names, and checks that the sources which this relies on are those that it was
// written for. docs/core-patches.md describes what it relies on.

#include <grpc/support/port_platform.h>

#include <mutex>
#include <string>
#include <unordered_map>

#include "src/core/ext/transport/chttp2/transport/chttp2_transport.h"
#include "src/core/ext/transport/chttp2/transport/frame_data.h"
#include "src/core/ext/transport/chttp2/transport/frame_goaway.h"
#include "src/core/ext/transport/chttp2/transport/frame_rst_stream.h"
#include "src/core/ext/transport/chttp2/transport/internal.h"
#include "src/core/ext/transport/chttp2/transport/stream_map.h"
#include "src/core/lib/channel/channel_args.h"
#include "src/core/lib/gprpp/status_helper.h"
#include "src/core/lib/iomgr/closure.h"
#include "src/core/lib/iomgr/combiner.h"
#include "src/core/lib/iomgr/endpoint.h"
#include "src/core/lib/transport/http2_errors.h"
#include "src/core/lib/transport/transport.h"

#include "patches.h"

// Declares a function of the C core under two names: our replacement, and the one that it replaces.
#define WRAPPED(result, name, symbol, ...)                 \
  result Real##name(__VA_ARGS__) __asm__("__real_" symbol); \
  result Wrap##name(__VA_ARGS__) __asm__("__wrap_" symbol);

WRAPPED(grpc_transport*, Create,
        "_Z28grpc_create_chttp2_transportRKN9grpc_core11ChannelArgsEP13grpc_endpointb",
        const grpc_core::ChannelArgs&, grpc_endpoint*, bool)
WRAPPED(void, Destroy, "_Z33grpc_chttp2_goaway_parser_destroyP25grpc_chttp2_goaway_parser",
        grpc_chttp2_goaway_parser*)
WRAPPED(grpc_error_handle, Read,
        "_Z24grpc_chttp2_perform_readP21grpc_chttp2_transportRK10grpc_slice", grpc_chttp2_transport*,
        const grpc_slice&)
WRAPPED(grpc_chttp2_stream*, Accept,
        "_Z33grpc_chttp2_parsing_accept_streamP21grpc_chttp2_transportj", grpc_chttp2_transport*,
        uint32_t)
WRAPPED(grpc_error_handle, BeginReset,
        "_Z41grpc_chttp2_rst_stream_parser_begin_frameP29grpc_chttp2_rst_stream_parserjh",
        grpc_chttp2_rst_stream_parser*, uint32_t, uint8_t)
WRAPPED(void, AddReset,
        "_Z40grpc_chttp2_add_rst_stream_to_next_writeP21grpc_chttp2_transportjjP28grpc_transport_one_way_stats",
        grpc_chttp2_transport*, uint32_t, uint32_t, grpc_transport_one_way_stats*)
WRAPPED(grpc_core::Poll<grpc_error_handle>, Deframe,
        "_Z40grpc_deframe_unprocessed_incoming_framesP18grpc_chttp2_streamPlPN9grpc_core11SliceBufferEPj",
        grpc_chttp2_stream*, int64_t*, grpc_core::SliceBuffer*, uint32_t*)

namespace {

const HubbubCalls* Calls() { return hubbub_calls.load(std::memory_order_acquire); }

// A connection to a server of ours.
struct Connection {
  void* budget;
  size_t streams_max;
  size_t message_bytes_max;
};

// The connections, by the address of a part of their transport: the one with which the transport's destructor calls
// `WrapDestroy`.
struct Connections {
  std::mutex mutex;
  std::unordered_map<const grpc_chttp2_goaway_parser*, Connection> all;
};

Connections& connections() {
  // Never destroyed: transports may outlive static variables.
  static auto* only = new Connections;
  return *only;
}

// The transport whose bytes this thread parses.
struct Reading {
  const grpc_chttp2_transport* transport;
  Connection connection;
  bool is_over;
};
thread_local Reading reading = {};

bool Find(const grpc_chttp2_transport* t, Connection* found) {
  if (reading.transport == t) {
    *found = reading.connection;
    return true;
  }
  if (t->is_client) return false;
  Connections& all = connections();
  std::lock_guard<std::mutex> lock(all.mutex);
  const auto entry = all.all.find(&t->goaway_parser);
  if (entry == all.all.end()) return false;
  *found = entry->second;
  return true;
}

// Counts a stream that came to nothing while its connection's bytes are parsed.
void Waste() {
  reading.is_over |= Calls()->wastes(reading.connection.budget);
}

// Ends a connection with GOAWAY, once the transport has done what it is at.
void Close(grpc_chttp2_transport* t, const Connection& connection, grpc_http2_error_code code) {
  const char* reason = Calls()->reason(connection.budget);
  grpc_transport_op* op = grpc_make_transport_op(nullptr);
  // Open calls get this status and text, and the connection's GOAWAY gets the text.
  op->disconnect_with_error = grpc_error_set_int(
      grpc_error_set_int(GRPC_ERROR_CREATE(reason), grpc_core::StatusIntProperty::kHttp2Error, code),
      grpc_core::StatusIntProperty::kRpcStatus, GRPC_STATUS_RESOURCE_EXHAUSTED);
  grpc_transport_perform_op(&t->base, op);
}

// Ends a call whose client declares a message that is too long.
void RefuseMessage(void* stream, grpc_error_handle error) {
  auto* s = static_cast<grpc_chttp2_stream*>(stream);
  if (!s->read_closed || !s->write_closed) grpc_chttp2_cancel_stream(s->t, s, error);
  GRPC_CHTTP2_STREAM_UNREF(s, "hubbub");
}

size_t ArgumentOr(const grpc_core::ChannelArgs& args, const char* name, int otherwise) {
  return static_cast<size_t>(args.GetInt(name).value_or(otherwise));
}

}  // namespace

grpc_transport* WrapCreate(const grpc_core::ChannelArgs& args, grpc_endpoint* endpoint, bool is_client) {
  grpc_transport* transport = RealCreate(args, endpoint, is_client);
  const auto server = args.GetInt(kServerArgument);
  const HubbubCalls* calls = Calls();
  if (is_client || !server.has_value() || calls == nullptr) return transport;
  void* budget = calls->begins(*server, grpc_endpoint_get_fd(endpoint));
  if (budget == nullptr) return transport;
  const Connection connection = {
      budget, ArgumentOr(args, GRPC_ARG_MAX_CONCURRENT_STREAMS, INT_MAX),
      ArgumentOr(args, GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, GRPC_DEFAULT_MAX_RECV_MESSAGE_LENGTH)};
  auto* t = reinterpret_cast<grpc_chttp2_transport*>(transport);
  Connections& all = connections();
  std::lock_guard<std::mutex> lock(all.mutex);
  all.all[&t->goaway_parser] = connection;
  return transport;
}

void WrapDestroy(grpc_chttp2_goaway_parser* parser) {
  void* budget = nullptr;
  {
    Connections& all = connections();
    std::lock_guard<std::mutex> lock(all.mutex);
    const auto entry = all.all.find(parser);
    if (entry != all.all.end()) {
      budget = entry->second.budget;
      all.all.erase(entry);
    }
  }
  if (budget != nullptr) Calls()->ends(budget);
  RealDestroy(parser);
}

grpc_error_handle WrapRead(grpc_chttp2_transport* t, const grpc_slice& slice) {
  Connection connection;
  if (t->is_client || !Find(t, &connection)) return RealRead(t, slice);
  // The library closes a connection only once it has written what it was about to write. Until then it would parse on.
  if (!t->close_transport_on_writes_finished.ok()) return GRPC_ERROR_CREATE("the connection is closing");
  switch (Calls()->reads(connection.budget, GRPC_SLICE_START_PTR(slice), GRPC_SLICE_LENGTH(slice),
                         grpc_chttp2_stream_map_size(&t->stream_map))) {
    case kParse:
      break;
    case kClose:
      Close(t, connection, GRPC_HTTP2_ENHANCE_YOUR_CALM);
      return absl::OkStatus();
    case kCloseIdle:
      Close(t, connection, GRPC_HTTP2_NO_ERROR);
      return absl::OkStatus();
    default:
      return GRPC_ERROR_CREATE("the connection is closing");
  }
  reading = {t, connection, false};
  grpc_error_handle error = RealRead(t, slice);
  const bool is_over = reading.is_over;
  reading = {};
  if (!is_over) return error;
  // An error would close the connection without a reason.
  Close(t, connection, GRPC_HTTP2_ENHANCE_YOUR_CALM);
  return absl::OkStatus();
}

// The library applies the maximum of streams only once the client has acknowledged it.
grpc_chttp2_stream* WrapAccept(grpc_chttp2_transport* t, uint32_t id) {
  if (reading.transport != t) return RealAccept(t, id);
  if (reading.is_over) return nullptr;
  if (grpc_chttp2_stream_map_size(&t->stream_map) < reading.connection.streams_max) return RealAccept(t, id);
  WrapAddReset(t, id, GRPC_HTTP2_REFUSED_STREAM, nullptr);
  grpc_chttp2_initiate_write(t, GRPC_CHTTP2_INITIATE_WRITE_RST_STREAM);
  return nullptr;
}

grpc_error_handle WrapBeginReset(grpc_chttp2_rst_stream_parser* parser, uint32_t length, uint8_t flags) {
  const grpc_chttp2_transport* t = reading.transport;
  if (t != nullptr) {
    // The client may reset a stream that the server has just ended, which costs nothing.
    auto* streams = const_cast<grpc_chttp2_stream_map*>(&t->stream_map);
    if (grpc_chttp2_stream_map_find(streams, t->incoming_stream_id) != nullptr) Waste();
    if (reading.is_over) return GRPC_ERROR_CREATE("the budget is exceeded");
  }
  return RealBeginReset(parser, length, flags);
}

// While the transport parses, it resets a stream only if the client breaks a rule.
void WrapAddReset(grpc_chttp2_transport* t, uint32_t id, uint32_t code, grpc_transport_one_way_stats* stats) {
  if (reading.transport == t) Waste();
  RealAddReset(t, id, code, stats);
}

// The library opens the window for as many bytes as the client declares.
grpc_core::Poll<grpc_error_handle> WrapDeframe(grpc_chttp2_stream* s, int64_t* min_progress_size,
                                               grpc_core::SliceBuffer* stream_out, uint32_t* flags) {
  constexpr size_t kPrefix = 5;
  Connection connection;
  if (s->frame_storage.length < kPrefix || !Find(s->t, &connection)) {
    return RealDeframe(s, min_progress_size, stream_out, flags);
  }
  uint8_t prefix[kPrefix];
  grpc_slice_buffer_copy_first_into_buffer(&s->frame_storage, kPrefix, prefix);
  const uint32_t length = static_cast<uint32_t>(prefix[1]) << 24 | static_cast<uint32_t>(prefix[2]) << 16 |
                          static_cast<uint32_t>(prefix[3]) << 8 | prefix[4];
  if (length <= connection.message_bytes_max) return RealDeframe(s, min_progress_size, stream_out, flags);
  // The message stays where it is, so that its bytes are never taken for another one. The call ends once the transport
  // has done what it is at.
  if (!s->seen_error) {
    s->seen_error = true;
    GRPC_CHTTP2_STREAM_REF(s, "hubbub");
    s->t->combiner->Run(
        GRPC_CLOSURE_CREATE(RefuseMessage, s, nullptr),
        grpc_error_set_int(GRPC_ERROR_CREATE("the message has " + std::to_string(length) + " bytes: send at most " +
                                             std::to_string(connection.message_bytes_max)),
                           grpc_core::StatusIntProperty::kRpcStatus, GRPC_STATUS_RESOURCE_EXHAUSTED));
  }
  if (min_progress_size != nullptr) *min_progress_size = 0;
  return grpc_core::Pending{};
}
