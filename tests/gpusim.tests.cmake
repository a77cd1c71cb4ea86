# A simulated GPU: stand-ins for the CUDA libraries that run the product's own kernels on the CPU.
add_subdirectory(gpusim)
