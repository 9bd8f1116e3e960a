// Replaces accept4(2) and close(2) in this program, for the C core too. `accept.rs` explains why.

#include <atomic>

#include "patches.h"

std::atomic<const HubbubCalls*> hubbub_calls{nullptr};

extern "C" void hubbub_set_calls(const HubbubCalls* calls) {
  hubbub_calls.store(calls, std::memory_order_release);
}

#ifdef __linux__

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

extern "C" int accept4(int listener, sockaddr* peer, socklen_t* size, int flags) {
  const HubbubCalls* calls = hubbub_calls.load(std::memory_order_acquire);
  const socklen_t size_max = size == nullptr ? 0 : *size;
  for (;;) {
    const int connection = static_cast<int>(syscall(SYS_accept4, listener, peer, size, flags));
    if (calls == nullptr) return connection;
    if (connection < 0) {
      const int error = calls->fails(errno);
      if (error != 0) {
        errno = error;
        return -1;
      }
    } else if (calls->keeps(listener, connection)) {
      return connection;
    }
    if (size != nullptr) *size = size_max;
  }
}

// The linker puts the second of these in the place of close(2), the first (`ld --wrap`): build.rs.
int RealClose(int descriptor) __asm__("__real_close");
int WrapClose(int descriptor) __asm__("__wrap_close");

int WrapClose(int descriptor) {
  const HubbubCalls* calls = hubbub_calls.load(std::memory_order_acquire);
  // Before the system can give the same number to another connection.
  if (calls != nullptr) calls->closes(descriptor);
  return RealClose(descriptor);
}

#endif
