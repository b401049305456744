// kernel `cooperative16`: Msl has no 16x16x16 F16 to F32 cooperative matrix; cooperative matrices there have sides of [8], in f16 and f32
