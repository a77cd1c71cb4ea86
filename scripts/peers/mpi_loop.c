/* The peer: MPI_Allreduce the way the OSU micro-benchmarks time it (osu_allreduce): a loop of calls without a
   barrier between them, buffers that stay in the cache, the mean time of all ranks.

   usage: mpicc -O2 scripts/peers/mpi_loop.c -o mpi_loop && mpirun -n 2 ./mpi_loop [MIN_BYTES [MAX_BYTES]]
   Columns as `rondo bench comm`: bytes, algorithm, type, us, algbw, busbw in GB/s. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank, ranks;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  const size_t least = argc > 1 ? strtoull(argv[1], NULL, 10) : 1024;
  const size_t most = argc > 2 ? strtoull(argv[2], NULL, 10) : (size_t)64 << 20;
  float* from = calloc(most, 1);
  float* to = calloc(most, 1);
  if (from == NULL || to == NULL || least < 4 || least > most || most > ((size_t)1 << 32)) {
    fprintf(stderr, "mpi_loop: sizes of 4 bytes to 4 GiB, smallest first, for which there is memory\n");
    MPI_Abort(MPI_COMM_WORLD, 2);
  }
  for (size_t bytes = least; bytes <= most; bytes *= 4) {
    const int count = (int)(bytes / sizeof(float)), warm_up = 2, rounds = bytes < 1 << 20 ? 200 : 10;
    double spent = 0, mean = 0;
    for (int round = -warm_up; round < rounds; ++round) {
      const double begin = MPI_Wtime();
      MPI_Allreduce(from, to, count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
      if (round >= 0) spent += MPI_Wtime() - begin;
    }
    MPI_Reduce(&spent, &mean, 1, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD);
    mean /= (double)ranks * rounds;
    const double algbw = (double)bytes / mean * 1e-9;
    if (rank == 0) {
      printf("%12zu %14s %8s %10.1f %8.2f %8.2f\n", bytes, "OSU loop", "float32", mean * 1e6, algbw,
             algbw * 2 * (ranks - 1) / ranks);
      fflush(stdout);
    }
  }
  free(from);
  free(to);
  return MPI_Finalize();
}
