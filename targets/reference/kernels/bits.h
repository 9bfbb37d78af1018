/* For the kernels of all packages (`build.py`). */

#include <stdint.h>

#if defined(__AVX2__)
#include <immintrin.h>

static uint64_t positions_of_byte[256];

__attribute__((constructor)) static void fill_positions(void) {
    for (int byte = 0; byte < 256; byte++)
        for (int bit = 0, n = 0; bit < 8; bit++)
            if (byte >> bit & 1) positions_of_byte[byte] |= (uint64_t)bit << 8 * n++;
}

/* Positions of the bits of a byte as int32, one after the other, then 0. */
static inline __m256i bit_positions(uint32_t byte) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(positions_of_byte + byte)));
}
#endif
