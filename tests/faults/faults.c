/* A layer below the file code of a process: files below FAULT_FOLDER behave as the text in FAULT_CONTROL says.
 *
 *   full      writes stop half-way with ENOSPC
 *   eio       writes and syncs fail with EIO
 *   readonly  whatever changes something fails with EROFS
 *   stall     writes, syncs and opens do not return until the text changes
 *
 * Built by tests/disk.rs and loaded with LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum mode { OK, FULL, EIO_, READONLY, STALL };

static enum mode mode(void) {
  const char *path = getenv("FAULT_CONTROL");
  char text[16] = "";
  if (!path) return OK;
  int (*real_open)(const char *, int, ...) = dlsym(RTLD_NEXT, "open64");
  int fd = real_open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return OK;
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  if (n > 0 && text[n - 1] == '\n') text[n - 1] = 0;
  if (!strcmp(text, "full")) return FULL;
  if (!strcmp(text, "eio")) return EIO_;
  if (!strcmp(text, "readonly")) return READONLY;
  if (!strcmp(text, "stall")) return STALL;
  return OK;
}

static int below(const char *path) {
  const char *folder = getenv("FAULT_FOLDER");
  return folder && path && !strncmp(path, folder, strlen(folder));
}

static int below_fd(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, sizeof path - 1);
  if (n <= 0) return 0;
  path[n] = 0;
  return below(path);
}

/* The mode that holds for a change; a stalled disk is waited for. */
static enum mode now(void) {
  enum mode m;
  while ((m = mode()) == STALL) usleep(10000);
  return m;
}

#define REAL(name, type) static __typeof__(type) *real; if (!real) real = dlsym(RTLD_NEXT, name)
#define FAIL(code) do { errno = code; return -1; } while (0)

static int change_fails(void) {
  switch (now()) {
    case READONLY: return EROFS;
    case EIO_: return EIO;
    default: return 0;
  }
}

/* How many bytes of a write pass; -1 with errno if none do. */
static ssize_t passes(size_t count) {
  switch (now()) {
    case FULL: if (count > 1) return count / 2; FAIL(ENOSPC);
    case EIO_: FAIL(EIO);
    case READONLY: FAIL(EROFS);
    default: return count;
  }
}

ssize_t write(int fd, const void *bytes, size_t count) {
  REAL("write", ssize_t (int, const void *, size_t));
  if (below_fd(fd)) {
    /* The first half passes, the rest is refused. */
    static __thread int half;
    ssize_t n = passes(count);
    if (n < 0) return n;
    if ((size_t)n < count) {
      if (half) { half = 0; FAIL(ENOSPC); }
      half = 1;
      return real(fd, bytes, n);
    }
    half = 0;
  }
  return real(fd, bytes, count);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
  REAL("pwrite64", ssize_t (int, const void *, size_t, off64_t));
  if (below_fd(fd)) {
    ssize_t n = passes(count);
    if (n < 0) return n;
    if ((size_t)n < count) FAIL(ENOSPC);
  }
  return real(fd, bytes, count, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) { return pwrite64(fd, bytes, count, at); }

int fsync(int fd) {
  REAL("fsync", int (int));
  if (below_fd(fd) && now() == EIO_) FAIL(EIO);
  return real(fd);
}

int fdatasync(int fd) {
  REAL("fdatasync", int (int));
  if (below_fd(fd) && now() == EIO_) FAIL(EIO);
  return real(fd);
}

static int opens(const char *path, int flags) {
  if (!below(path) || !(flags & (O_WRONLY | O_RDWR | O_CREAT))) return 0;
  int code = change_fails();
  if (code) errno = code;
  return code;
}

int open64(const char *path, int flags, ...) {
  REAL("open64", int (const char *, int, ...));
  va_list list;
  va_start(list, flags);
  int rights = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(list, int) : 0;
  va_end(list);
  return opens(path, flags) ? -1 : real(path, flags, rights);
}

int open(const char *path, int flags, ...) {
  REAL("open", int (const char *, int, ...));
  va_list list;
  va_start(list, flags);
  int rights = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(list, int) : 0;
  va_end(list);
  return opens(path, flags) ? -1 : real(path, flags, rights);
}

int rename(const char *from, const char *to) {
  REAL("rename", int (const char *, const char *));
  int code = below(from) ? change_fails() : 0;
  if (code) FAIL(code);
  return real(from, to);
}

int unlink(const char *path) {
  REAL("unlink", int (const char *));
  int code = below(path) ? change_fails() : 0;
  if (code) FAIL(code);
  return real(path);
}

int ftruncate64(int fd, off64_t length) {
  REAL("ftruncate64", int (int, off64_t));
  int code = below_fd(fd) ? change_fails() : 0;
  if (code) FAIL(code);
  return real(fd, length);
}
