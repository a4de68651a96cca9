/* Preloaded into a command: while the file named by STORM_EIO exists, its writes below the folder of this file fail
   with EIO; while the one named by STORM_CLOCK exists, the clock of the wall is a day ahead. stdio's own writes (C++
   streams, TensorFlow's records) do not pass here. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int armed(const char *name) {
  const char *path = getenv(name);
  return path && access(path, F_OK) == 0;
}

static int fails(int file) {
  char link[64], target[4096], folder[4096];
  int before = errno, failing = 0;
  if (armed("STORM_EIO")) {
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, target, sizeof target - 1);
    target[size > 0 ? size : 0] = 0;
    snprintf(folder, sizeof folder - 1, "%s", getenv("STORM_EIO"));
    dirname(folder);
    strcat(folder, "/");
    failing = strncmp(target, folder, strlen(folder)) == 0;
  }
  errno = failing ? EIO : before;
  return failing;
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t write(int file, const void *data, size_t size) {
  REAL(write);
  return fails(file) ? -1 : real(file, data, size);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
  REAL(pwrite64);
  return fails(file) ? -1 : real(file, data, size, at);
}

int fsync(int file) {
  REAL(fsync);
  return fails(file) ? -1 : real(file);
}

int fdatasync(int file) {
  REAL(fdatasync);
  return fails(file) ? -1 : real(file);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  REAL(clock_gettime);
  int result = real(clock, now);
  if (clock == CLOCK_REALTIME && armed("STORM_CLOCK")) now->tv_sec += 86400;
  return result;
}
