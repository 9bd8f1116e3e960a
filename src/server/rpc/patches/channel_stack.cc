// The filters that a call passes in the C core, reduced to those that this server needs. `channel_stack.rs` explains
// why.
//
// This is written against the C core's internal headers of the one version that Cargo.lock names: `build.rs` finds them
// in the source of `grpcio-sys` and compiles this file as the C core itself is compiled.

#include <grpc/support/port_platform.h>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <climits>
#include <cstring>
#include <vector>

#include "src/core/lib/channel/channel_args.h"
#include "src/core/lib/channel/channel_args_preconditioning.h"
#include "src/core/lib/channel/channel_stack.h"
#include "src/core/lib/channel/channel_stack_builder.h"
#include "src/core/lib/config/core_configuration.h"
#include "src/core/lib/iomgr/socket_mutator.h"
#include "src/core/lib/security/context/security_context.h"
#include "src/core/lib/surface/channel_init.h"
#include "src/core/lib/surface/channel_stack_type.h"

#include "patches.h"

namespace {

// Whether a connection is known to be without TLS.
bool IsPlain(const grpc_core::ChannelArgs& args) {
  const auto* context = args.GetObject<grpc_auth_context>();
  if (context == nullptr) return false;
  grpc_auth_property_iterator types =
      grpc_auth_context_find_properties_by_name(context, GRPC_TRANSPORT_SECURITY_TYPE_PROPERTY_NAME);
  const grpc_auth_property* type = grpc_auth_property_iterator_next(&types);
  return type != nullptr && strcmp(type->value, "insecure") == 0;
}

// Whether a filter is left out.
bool LeftOut(absl::string_view filter, bool is_plain) {
  return filter == "compression"            // this server neither compresses nor decompresses
         || (filter == "server-auth" && is_plain)  // tells calls who the peer is, which only TLS finds out
         || filter == "server_call_tracer"  // tracing is not used
#ifdef __linux__
         || filter == "message_size"        // `transport.cc` bounds received messages, sent ones are not bounded
#endif
      ;
}

bool MakeLean(grpc_core::ChannelStackBuilder* builder) {
  if (!builder->channel_args().Contains(kServerArgument)) return true;
  const bool is_plain = IsPlain(builder->channel_args());
  std::vector<const grpc_channel_filter*> kept;
  for (const grpc_channel_filter* filter : builder->stack()) {
    if (!LeftOut(filter->name, is_plain)) kept.push_back(filter);
  }
  *builder->mutable_stack() = std::move(kept);
  return true;
}

// The server for which this thread opens listening sockets, and how they are restricted: `Listener` in
// `channel_stack.rs`.
thread_local int server = 0;
thread_local int restriction = 0;

// The C core calls this before it binds a socket. With false it skips that socket.
bool Restrict(const grpc_mutate_socket_info* info, grpc_socket_mutator*) {
  if (info->usage != GRPC_FD_SERVER_LISTENER_USAGE) return true;
  const HubbubCalls* calls = hubbub_calls.load(std::memory_order_acquire);
  if (calls != nullptr) calls->listens(server, info->fd);
  if (restriction == 0) return true;
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
  if (!args.Contains(kServerArgument)) return args;
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

extern "C" const char* hubbub_server_argument() { return registered ? kServerArgument : nullptr; }

extern "C" void hubbub_restrict_listeners(int of_server, int how) {
  server = of_server;
  restriction = how;
}
