// kernel `scale`: Wgsl has no texel-buffer; compile the kernel for a target whose dialect has it
