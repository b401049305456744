// kernel `cooperative16`: OpenClC has no cooperative-matrix, no 16x16x16 F16 to F32 cooperative matrix; compile the kernel for a target whose dialect has cooperative matrices
