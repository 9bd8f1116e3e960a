// The filters that a call passes in the C core, reduced to those that this server needs. `channel_stack.rs` explains why.
//
// This is written against the C core's internal headers of the one version that Cargo.lock names: `build.rs` finds them
// in the source of `grpcio-sys` and compiles this file as the C core itself is compiled.

#include <grpc/support/port_platform.h>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <climits>
#include <string>
#include <vector>

#include "src/core/lib/channel/channel_args.h"
#include "src/core/lib/channel/channel_args_preconditioning.h"
#include "src/core/lib/channel/channel_stack.h"
#include "src/core/lib/channel/channel_stack_builder.h"
#include "src/core/lib/config/core_configuration.h"
#include "src/core/lib/gprpp/debug_location.h"
#include "src/core/lib/gprpp/status_helper.h"
#include "src/core/lib/iomgr/closure.h"
#include "src/core/lib/iomgr/socket_mutator.h"
#include "src/core/lib/surface/channel_init.h"
#include "src/core/lib/surface/channel_stack_type.h"
#include "src/core/lib/transport/transport.h"

namespace {

// The channel argument that enables this.
constexpr char kArgument[] = "hubbub.lean_stack";

// Whether a filter is left out.
bool LeftOut(absl::string_view filter) {
  return filter == "compression"            // this server neither compresses nor decompresses
         || filter == "server-auth"         // authenticates the peer, which needs TLS
         || filter == "server_call_tracer"; // tracing is not used
}

// Replaces message_size: does the same for received messages, and nothing for sent ones.
struct Receiving {
  size_t bytes_max;
  grpc_closure on_message;
  absl::optional<grpc_core::SliceBuffer>* message;
  grpc_closure* next;
};

void OnMessage(void* arg, grpc_error_handle error) {
  auto* receiving = static_cast<Receiving*>(arg);
  if (error.ok() && receiving->message->has_value()) {
    const size_t bytes = (*receiving->message)->Length();
    if (bytes > receiving->bytes_max) {
      error = grpc_error_set_int(
          GRPC_ERROR_CREATE("the message has " + std::to_string(bytes) + " bytes: send at most " +
                            std::to_string(receiving->bytes_max)),
          grpc_core::StatusIntProperty::kRpcStatus, GRPC_STATUS_RESOURCE_EXHAUSTED);
    }
  }
  // With an error, the library ends the call with its status.
  grpc_core::Closure::Run(DEBUG_LOCATION, receiving->next, error);
}

void StartBatch(grpc_call_element* element, grpc_transport_stream_op_batch* batch) {
  if (batch->recv_message) {
    auto* receiving = static_cast<Receiving*>(element->call_data);
    auto& payload = batch->payload->recv_message;
    receiving->message = payload.recv_message;
    // One message is requested at a time.
    receiving->next = payload.recv_message_ready;
    payload.recv_message_ready = &receiving->on_message;
  }
  grpc_call_next_op(element, batch);
}

grpc_error_handle BeginCall(grpc_call_element* element, const grpc_call_element_args*) {
  auto* receiving = static_cast<Receiving*>(element->call_data);
  receiving->bytes_max = *static_cast<size_t*>(element->channel_data);
  GRPC_CLOSURE_INIT(&receiving->on_message, OnMessage, receiving, grpc_schedule_on_exec_ctx);
  return absl::OkStatus();
}

void EndCall(grpc_call_element*, const grpc_call_final_info*, grpc_closure*) {}

grpc_error_handle BeginChannel(grpc_channel_element* element, grpc_channel_element_args* args) {
  const auto bytes_max = args->channel_args.GetInt(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH);
  *static_cast<size_t*>(element->channel_data) = bytes_max.value_or(GRPC_DEFAULT_MAX_RECV_MESSAGE_LENGTH);
  return absl::OkStatus();
}

void EndChannel(grpc_channel_element*) {}

const grpc_channel_filter kReceiveBound = {
    StartBatch,
    nullptr,  // no promise: only calls made of batches are served
    grpc_channel_next_op,
    sizeof(Receiving),
    BeginCall,
    grpc_call_stack_ignore_set_pollset_or_pollset_set,
    EndCall,
    sizeof(size_t),
    BeginChannel,
    grpc_channel_stack_no_post_init,
    EndChannel,
    grpc_channel_next_get_info,
    "hubbub_receive_bound",
};

bool MakeLean(grpc_core::ChannelStackBuilder* builder) {
  if (!builder->channel_args().GetBool(kArgument).value_or(false)) return true;
  // If there is no bound to replace, ours is first.
  bool bounded = false;
  std::vector<const grpc_channel_filter*> kept;
  for (const grpc_channel_filter* filter : builder->stack()) {
    const absl::string_view name = filter->name;
    if (LeftOut(name)) continue;
    bounded |= name == "message_size";
    kept.push_back(name == "message_size" ? &kReceiveBound : filter);
  }
  if (!bounded) kept.insert(kept.begin(), &kReceiveBound);
  *builder->mutable_stack() = std::move(kept);
  return true;
}

// How the listening sockets that this thread opens are restricted: `Listener` in `channel_stack.rs`.
thread_local int restriction = 0;

// The C core calls this before it binds a socket. With false it skips that socket.
bool Restrict(const grpc_mutate_socket_info* info, grpc_socket_mutator*) {
  if (info->usage != GRPC_FD_SERVER_LISTENER_USAGE || restriction == 0) return true;
  sockaddr_storage name = {};
  socklen_t size = sizeof(name);
  if (getsockname(info->fd, reinterpret_cast<sockaddr*>(&name), &size) != 0) return false;
  const int one = 1;
  switch (restriction) {
    case 4:
      return name.ss_family == AF_INET;
    case 6:
      return name.ss_family == AF_INET6 &&
             setsockopt(info->fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) == 0;
    default:
      // The socket's file gets the mode of the socket. If the system does not do that, the umask applies.
      (void)fchmod(info->fd, 0);
      return true;
  }
}

const grpc_socket_mutator_vtable kMutator = {
    nullptr,
    [](grpc_socket_mutator* a, grpc_socket_mutator* b) { return a < b ? -1 : a > b ? 1 : 0; },
    [](grpc_socket_mutator*) {},  // never destroyed
    Restrict,
};

grpc_core::ChannelArgs AddMutator(grpc_core::ChannelArgs args) {
  static grpc_socket_mutator* mutator = [] {
    static grpc_socket_mutator only;
    grpc_socket_mutator_init(&only, &kMutator);
    return &only;
  }();
  if (!args.GetBool(kArgument).value_or(false)) return args;
  return args.Set(grpc_socket_mutator_to_arg(mutator));
}

// The C core accepts such changes only before its first use, and this runs before `main`.
const bool registered = [] {
  grpc_core::CoreConfiguration::RegisterBuilder([](grpc_core::CoreConfiguration::Builder* builder) {
    // After those that add the filters removed here.
    builder->channel_init()->RegisterStage(GRPC_SERVER_CHANNEL, INT_MAX, MakeLean);
    builder->channel_args_preconditioning()->RegisterStage(AddMutator);
  });
  return true;
}();

}  // namespace

extern "C" const char* hubbub_lean_stack_argument() { return registered ? kArgument : nullptr; }

extern "C" void hubbub_restrict_listeners(int how) { restriction = how; }
