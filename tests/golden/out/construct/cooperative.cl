// kernel `cooperative`: OpenClC has no cooperative-matrix, no 8x8x8 F16 to F32 cooperative matrix; compile the kernel for a target whose dialect has cooperative matrices
