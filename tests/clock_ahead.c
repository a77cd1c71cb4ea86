/* Preloaded into ranks: the steady clock of rank 1 is 1,000 seconds ahead, as another host's may be. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static time_t ahead;

__attribute__((constructor)) static void look(void) {
  const char *rank = getenv("OMPI_COMM_WORLD_RANK");
  if (rank != NULL && strcmp(rank, "1") == 0) ahead = 1000;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  const int code = (int)syscall(SYS_clock_gettime, clock, now);
  if (clock == CLOCK_MONOTONIC) now->tv_sec += ahead;
  return code;
}
