// Makes the C core listen on a socket that this program inherited. `inherited.rs` explains how.

#ifdef __linux__

#include <grpc/support/port_platform.h>

#include "src/core/lib/iomgr/systemd_utils.h"
#include "src/core/lib/iomgr/tcp_server.h"

// The socket for the address that this thread binds now, or -1.
static thread_local int inherited = -1;

// The linker puts this in the place of the C core's own function, which does nothing in a C core that was built without
// libsystemd (`ld --wrap`): build.rs.
void WrapMatch(grpc_tcp_server* server, const grpc_resolved_address* address, int port) __asm__(
    "__wrap__Z19set_matching_sd_fdsP15grpc_tcp_serverPK21grpc_resolved_addressi");

void WrapMatch(grpc_tcp_server* server, const grpc_resolved_address*, int) {
  if (inherited >= 0) grpc_tcp_server_set_pre_allocated_fd(server, inherited);
}

extern "C" void hubbub_inherit(int descriptor) { inherited = descriptor; }

#endif
