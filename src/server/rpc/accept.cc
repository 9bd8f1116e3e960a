// Replaces accept4(2) in this program, for the C core too. `accept.rs` explains why.

#ifdef __linux__

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

// In `accept.rs`. The first closes a connection that the server can't serve, and returns false. The second returns the
// error that the caller gets, or 0 to accept the next connection instead.
extern "C" bool hubbub_keep_connection(int connection);
extern "C" int hubbub_accept_error(int error);

extern "C" int accept4(int listener, sockaddr* peer, socklen_t* size, int flags) {
  const socklen_t size_max = size == nullptr ? 0 : *size;
  for (;;) {
    const int connection = static_cast<int>(syscall(SYS_accept4, listener, peer, size, flags));
    if (connection < 0) {
      const int error = hubbub_accept_error(errno);
      if (error != 0) {
        errno = error;
        return -1;
      }
    } else if (hubbub_keep_connection(connection)) {
      return connection;
    }
    if (size != nullptr) *size = size_max;
  }
}

#endif

// The linker includes this file because of this function, and with it `accept4`.
extern "C" void hubbub_link_accept() {}
