"""Every mistake in seeded/*.cu must be reported by name, under several seeds, and end the program with an error.

    seeded_test.py PROGRAM [PROGRAM OF SEVERAL RANKS]
"""
import os
import subprocess
import sys

SHARED, GLOBAL = "race in shared memory", "race in global memory"
ORDER, HOST = "operations not ordered", "host not synchronised"
EXPECTED = {
    "missing_barrier": (SHARED, "kernel no_barrier", "kernels.cu:"),
    "missing_barrier_at_the_end_of_a_loop": (SHARED, "kernel no_second_barrier"),
    "divergent_barrier": ("divergent barrier", "kernel diverge"),
    "exit_before_a_barrier": ("exit before a barrier", "14 of 64 threads"),
    "uninitialised_shared_memory": ("uninitialised read of shared memory", "thread (63,0,0)"),
    "uninitialised_device_memory": ("uninitialised read of global memory", "kernel copy"),
    "uninitialised_local_memory": ("uninitialised read of local memory",),
    "out_of_bounds_write": ("out of bounds in global memory", "write of 4 bytes", "0 bytes after the end", "252 bytes"),
    "out_of_bounds_read": ("out of bounds in global memory", "read of 4 bytes"),
    "out_of_bounds_shared": ("out of bounds in shared memory", "thread (3,0,0)"),
    "too_little_dynamic_shared_memory": ("out of bounds in shared memory", "thread (63,0,0)"),
    "use_after_free": ("use after free", "kernel copy"),
    "unguarded_sum_in_a_block": (GLOBAL, "kernel add_up"),
    "unguarded_sum_over_blocks": (GLOBAL, "blocks of one launch are not ordered"),
    "plain_write_beside_atomics": (GLOBAL, "atomic"),
    "full_mask_shuffle_in_half_a_warp": ("warp operation with absent lanes", "lanes 0xffff0000"),
    "shuffle_from_an_absent_lane": ("shuffle from an absent lane", "lane 20"),
    "vote_at_two_places": ("warp operation with absent lanes", "kernel vote_apart"),
    "missing_syncwarp": (SHARED, "expected __syncwarp"),
    "shuffle_in_place_of_syncwarp": (SHARED, "expected __syncwarp"),
    "misaligned_float4": ("misaligned access", "not a multiple of 16"),
    "missing_threadfence": (GLOBAL, "kernel no_fence"),
    "endless_loop": ("kernel does not end", "kernel for_ever"),
    "trap": ("trap", "kernel checked"),
    "race_on_one_byte": (GLOBAL, "write of 1 bytes"),
    "missing_stream_wait": (ORDER, "kernel scale", "kernel add"),
    "captured_but_not_sent": ("uninitialised read of global memory", "kernel scale"),
    "waits_for_a_stream_that_is_captured": ("stream is being captured", "waiting for the stream"),
    "graph_update_with_another_kernel": ("graph update exchanges kernels", "kernel add", "kernel scale"),
    "freed_before_captured_launches_are_sent": ("use after free", "kernel add"),
    "missing_event": (ORDER, "kernel scale", "kernel add"),
    "event_recorded_too_early": (ORDER, "kernel scale", "kernel add"),
    "write_after_an_unfinished_read": (ORDER, "cudaMemsetAsync", "kernel scale"),
    "copy_beside_a_kernel": (ORDER, "cudaMemcpy", "kernel add"),
    "product_beside_a_kernel": (ORDER, "cublasSgemm", "kernel add"),
    "product_of_uninitialised_memory": ("uninitialised read by a library", "cublasSgemm"),
    "host_reads_before_synchronisation": (HOST, "the host reads byte 28"),
    "host_writes_a_buffer_in_flight": (HOST, "writes byte 28"),
    "buffer_reused_by_another_copy": (ORDER, "pinned host memory"),
    "pinned_memory_freed_in_flight": (HOST, "cudaFreeHost"),
    "freed_on_another_stream": (ORDER, "cudaFreeAsync"),
    "copy_past_the_end": ("out of bounds", "cudaMemcpy"),
    "uninitialised_copy_to_the_host": ("uninitialised read by a copy",),
    "memory_of_another_device": ("memory of another device", "kernel add", "of device 0"),
    "host_follows_a_device_pointer": ("host touches device memory", "byte 12 of"),
    "freed_twice": ("double free", "cudaFree"),
}

BETWEEN_RANKS = {
    "no_wait_before_a_sum": (ORDER, "ncclAllReduce", "kernel fill"),
    "counts_differ": ("NCCL ranks disagree", "40000", "39999"),
}


def problem(program, case, seed, wanted):
    environment = dict(os.environ, GPUSIM_SEED=str(seed), GPUSIM_LIMIT="1M", GPUSIM_DEVICES="3")
    run = subprocess.run([program, case], env=environment, capture_output=True, text=True, timeout=60)
    lines = [line for line in run.stderr.splitlines() if line.startswith("gpusim: error: " + wanted[0])]
    if not any(all(word in line for word in wanted[1:]) for line in lines):
        return f"expected {wanted}, got exit code {run.returncode} and\n{run.stderr}"
    crashes = wanted[0] == "host touches device memory"
    return None if run.returncode == (-11 if crashes else 86) else f"exit code {run.returncode}"


def main():
    mistakes = [(sys.argv[1], *item) for item in EXPECTED.items()]
    if len(sys.argv) > 2:
        mistakes += [(sys.argv[2], *item) for item in BETWEEN_RANKS.items()]
    bad = 0
    for program, case, wanted in mistakes:
        for seed in range(1, 6):
            trouble = problem(program, case, seed, wanted)
            if trouble:
                bad += 1
                print(f"{case}, seed {seed}: {trouble}")
                break
    print(f"{len(mistakes)} mistakes, {bad} of them not reported as they should be")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
