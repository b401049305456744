// kernel `chained`: Wgsl has no ordered-workgroups; compile the kernel for a target whose dialect has it
