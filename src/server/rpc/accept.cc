// accept4(2), as the C core and everybody else in this program calls it. `accept.rs` says why.

#ifdef __linux__

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

// Of `accept.rs`. The first closes a connection that the server has no room for, and returns false. The second returns the
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

// The linker takes this file for the sake of this function, and `accept4` with it.
extern "C" void hubbub_link_accept() {}
