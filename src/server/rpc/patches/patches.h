// What the files in this folder share.

#ifndef HUBBUB_PATCHES_H
#define HUBBUB_PATCHES_H

#include <atomic>
#include <cstddef>
#include <cstdint>

// The channel argument that makes a server ours. Its value is the server's number: `servers.rs`.
constexpr char kServerArgument[] = "hubbub.server";

// The functions of this library that the C++ files call: `calls.rs`. MUST NOT block: they run on pollers. A budget
// belongs to one connection, whose calls are serialized by the C core.
struct HubbubCalls {
  // A server has opened a listening socket.
  void (*listens)(int server, int listener);
  // A listening socket has accepted a connection. If the server can't serve it, closes it and returns false.
  bool (*keeps)(int listener, int connection);
  // accept(2) has failed. Returns the error that its caller gets, or 0 to accept the next connection instead.
  int (*fails)(int error);
  // A descriptor is about to be closed.
  void (*closes)(int descriptor);

  // The C core has begun to serve a connection. Returns its budget, or null if the server is gone.
  void* (*begins)(int server, int connection);
  // The C core has released the connection; the budget is not used afterwards.
  void (*ends)(void* budget);
  // The connection has sent these bytes, and has this number of open streams. Returns what to do with the bytes: a
  // `Verdict`.
  int (*reads)(void* budget, const uint8_t* bytes, size_t length, size_t streams);
  // A stream came to nothing through the client's doing. Returns whether the budget is exceeded.
  bool (*wastes)(void* budget);
  // Why the connection is closed, for the client.
  const char* (*reason)(const void* budget);
};

// Null until the first server starts. In a program without a server it stays so.
extern std::atomic<const HubbubCalls*> hubbub_calls;

enum Verdict { kParse = 0, kClose = 1, kIsClosing = 2, kCloseIdle = 3 };

#endif
