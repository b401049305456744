// Textures (sections 2.8 and 6.12): reads and writes of texels, by whole coordinates, inside of the
// image (checked).
#pragma once

namespace metal {

enum class access { sample, read, write, read_write };

// A texel is four floats to a kernel, whatever the format holds.
struct image {
    const drift::Slot *slot;

    MSL_INLINE void *texel(uint x, uint y, uint z) const {
        const drift::Slot &s = *slot;
        if (x >= s.width || y >= s.height || z >= s.depth) {
            drift::drift_fail("texel (%u, %u, %u) of an image of (%u, %u, %u)", x, y, z, s.width,
                              s.height, s.depth);
        }
        ulong index = ((ulong)z * s.height + y) * s.width + x;
        return (char *)s.at + index * (s.is_half ? 8 : 16);
    }
    MSL_INLINE float4 get(uint x, uint y, uint z) const {
        void *at = texel(x, y, z);
        return slot->is_half ? float4(*(half4 *)at) : *(float4 *)at;
    }
    MSL_INLINE void set(float4 value, uint x, uint y, uint z) const {
        void *at = texel(x, y, z);
        if (slot->is_half) {
            *(half4 *)at = half4(value);
        } else {
            *(float4 *)at = value;
        }
    }
};

template <class T, access A> struct texture2d : image {
    float4 read(uint2 at, uint = 0) const { return get(at.x, at.y, 0); }
    void write(float4 value, uint2 at, uint = 0) const { set(value, at.x, at.y, 0); }
};
template <class T, access A> struct texture2d_array : image {
    float4 read(uint2 at, uint layer, uint = 0) const { return get(at.x, at.y, layer); }
    void write(float4 value, uint2 at, uint layer, uint = 0) const {
        set(value, at.x, at.y, layer);
    }
};
template <class T, access A> struct texture3d : image {
    float4 read(uint3 at, uint = 0) const { return get(at.x, at.y, at.z); }
    void write(float4 value, uint3 at, uint = 0) const { set(value, at.x, at.y, at.z); }
};

} // namespace metal
