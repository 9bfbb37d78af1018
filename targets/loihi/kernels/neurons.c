/* The neurons of a population over several steps. */

/* Where vector `k` of a group begins: of a narrow current the vectors are, of each 16 neurons, 0 to 3 and 8 to 11, then
 * the others, since lanes of 32 bits hold two currents; else they are in order. Both halves lie `apart`. */
#define BEGIN(narrow, k) ((narrow) ? (k) / 2 * 16 + (k) % 2 * 4 : (k) * LANES)
#define APART(narrow) ((narrow) ? 8 : 4)

INLINE ints fetch(int narrow, const int32_t *from, int k) {
    from += BEGIN(narrow, k);
#if defined(__AVX2__)
    return (ints)_mm256_loadu2_m128i((const __m128i *)(from + APART(narrow)), (const __m128i *)from);
#else
    ints found;
    memcpy(&found, from, 16);
    memcpy((char *)&found + 16, from + APART(narrow), 16);
    return found;
#endif
}

INLINE void put(int narrow, int32_t *to, int k, ints values) {
    memcpy(to + BEGIN(narrow, k), &values, 16);
    memcpy(to + BEGIN(narrow, k) + APART(narrow), (char *)&values + 16, 16);
}

/* Masks of 32 neurons as bits; adds them to the tally. */
INLINE uint32_t collect(int narrow, const ints *fired, bytes *tally) {
#if defined(__AVX2__)
    const __m256i *f = (const __m256i *)fired, order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i signs = _mm256_packs_epi16(_mm256_packs_epi32(f[0], f[1]), _mm256_packs_epi32(f[2], f[3]));
    signs = narrow ? _mm256_permute4x64_epi64(signs, 0xd8) : _mm256_permutevar8x32_epi32(signs, order);
    *tally = (bytes)_mm256_sub_epi8((__m256i)*tally, signs);
    return _mm256_movemask_epi8(signs);
#else
    uint32_t found = 0;
    for (int i = 0; i < GROUP; i++) {
        int k = i / LANES, lane = i % LANES, at = BEGIN(narrow, k) + lane % 4 + lane / 4 * APART(narrow);
        uint32_t one = fired[k][lane] & 1;
        found |= one << at;
        (*tally)[at] += one;
    }
    return found;
#endif
}

/* trunc(x * keep / 4096) for |x| <= 2^23. */
INLINE ints decay(ints x, ints keep) {
#if defined(__AVX2__)
    /* A product that is rounded toward zero is never below the integer that is sought, which a float holds. */
    __m256 share = _mm256_mul_ps(_mm256_cvtepi32_ps((__m256i)keep), _mm256_set1_ps(1.0f / 4096));
    return (ints)_mm256_cvttps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps((__m256i)x), share));
#else
    /* The upper and lower 12 bits apart, so that 32 bits do. */
    ints sign = x >> 31, size = (x ^ sign) - sign;
    ints kept = (size >> 12) * keep + (((size & 4095) * keep) >> 12);
    return (kept ^ sign) - sign;
#endif
}

/* `x` where `fired` is not set. */
INLINE ints unless(ints fired, ints x) {
#if defined(__AVX2__)
    return (ints)_mm256_andnot_si256((__m256i)fired, (__m256i)x);
#else
    return x & ~fired;
#endif
}

INLINE ints clip(ints v) {
    const ints most = STATE_MAX - (ints){0};
#if defined(__AVX2__)
    return (ints)_mm256_max_epi32(_mm256_min_epi32((__m256i)v, (__m256i)most), (__m256i)-most);
#else
    ints over = v > most, under = v < -most;
    return (v & ~(over | under)) | (most & over) | (-most & under);
#endif
}

/* Currents of `steps` steps, `stride` bytes from one to the next, and what they meet; see `population`. */
typedef struct {
    const char *current;
    int64_t steps, stride;
    const int32_t *bias_u, *bias_v;
    int32_t *u, *v;
    uint32_t *const *masks;
} span;

/* What arrives at vector `k` of a group, in units of u. */
INLINE ints arriving(int narrow, int32_t exponent, const char *current, int k) {
    if (!narrow) return *(const ints *)((const int32_t *)current + k * LANES) << 6;
    ints both = *(const ints *)((const int16_t *)current + k / 2 * 16);
#if defined(__AVX2__)
    /* The product of the other half is with 0. */
    return (ints)_mm256_madd_epi16((__m256i)both, _mm256_set1_epi32(64 << exponent << k % 2 * 16));
#else
    return (k % 2 ? both >> 16 : both << 16 >> 16) << (exponent + 6);
#endif
}

/* One or two groups of neurons from `i` on: of two the latencies overlap. Without `memory` u is nowhere kept. Without
 * `general` all neurons keep the same, nothing wraps, there is no bias of the current, and the reset is to 0;
 * `within`: and no membrane is clipped. */
INLINE void groups_as(int groups, int narrow, int memory, int general, int within, const population *p, const span *s,
                      int64_t from, int64_t i) {
    const int each = GROUP / LANES, vectors = groups * each;
    const ints threshold = p->threshold - (ints){0};
    ints keep_u = p->keep_u[0] - (ints){0}, keep_v = p->keep_v[0] - (ints){0};
    ints u[2 * GROUP / LANES], v[2 * GROUP / LANES], bias[2 * GROUP / LANES];
    const char *current = s->current + (i - from) * (narrow ? sizeof(int16_t) : sizeof(int32_t));
    const int32_t exponent = p->exponent;
    bytes tally[2];
    for (int g = 0; g < groups; g++) tally[g] = *(bytes *)(p->tally + i + g * GROUP);
    for (int k = 0; k < vectors; k++) {
        v[k] = fetch(narrow, s->v + i, k);
        bias[k] = fetch(narrow, s->bias_v + (i + k / each * GROUP) % p->tile, k % each);
        if (memory) u[k] = fetch(narrow, s->u + i, k);
    }
    for (int64_t t = 0; t < s->steps; t++, current += s->stride)
        for (int g = 0; g < groups; g++) {
            ints fired[GROUP / LANES];
            for (int j = 0; j < each; j++) {
                const int k = g * each + j;
                if (general && !p->shared)
                    keep_u = fetch(narrow, p->keep_u + i, k), keep_v = fetch(narrow, p->keep_v + i, k);
                ints arrived = arriving(narrow, exponent, current, k);
                if (general && s->bias_u) arrived += fetch(narrow, s->bias_u + i, k);
                if (memory) arrived += decay(u[k], keep_u);
                /* Into (-2^23, 2^23]: 2^23 - u modulo 2^24, taken back. */
                if (general && p->wraps) arrived = (1 << 23) - (((1 << 23) - arrived) & 0xffffff);
                if (memory) u[k] = arrived;
                v[k] = decay(v[k], keep_v) + (arrived + bias[k]);
                if (!within) v[k] = clip(v[k]);
                fired[j] = v[k] > threshold;
                if (general && p->subtract) v[k] -= threshold & fired[j];
                else v[k] = unless(fired[j], v[k]);
            }
            s->masks[t][i / GROUP + g] = collect(narrow, fired, tally + g);
        }
    for (int g = 0; g < groups; g++) *(bytes *)(p->tally + i + g * GROUP) = tally[g];
    for (int k = 0; k < vectors; k++) {
        put(narrow, s->v + i, k, v[k]);
        if (memory) put(narrow, s->u + i, k, u[k]);
    }
}

/* `steps` steps of neurons `from` to `to` of sample `b` from step `now` on, which all have the same bias; currents
 * begin at row `row`. Spikes as bits. Never inline: a compiler knows nothing of the rounding that is set outside. */
__attribute__((noinline)) static void update(const population *p, int64_t n, int64_t b, int64_t now, int64_t steps,
                                             int64_t from, int64_t to, const void *current, int64_t row,
                                             uint32_t *const *masks) {
    int64_t row_u = now < p->rows_u ? now : p->rows_u - 1, row_v = now < p->rows_v ? now : p->rows_v - 1;
    int64_t stride = STRIDE(to - from) * (p->narrow ? sizeof(int16_t) : sizeof(int32_t));
    span s = {(const char *)current + row * stride, steps, stride, p->bias_u ? p->bias_u + row_u * n : 0,
              p->bias_v + row_v * p->tile, p->u + b * n, p->v + b * n, masks};
    int memory = p->remembers || p->u_every, general = !p->shared || p->wraps || p->subtract || s.bias_u != 0;
    int within = !general && !p->clips;
    int64_t i = from;
/* Two groups where their states fit the registers. */
#define UPDATE(a, b, c, d)                                                                                          \
    if (!p->narrow == !(a) && !memory == !(b) && general == (c) && within == (d)) {                                 \
        if (!(b) && !(c)) for (; i + 2 * GROUP <= to; i += 2 * GROUP) groups_as(2, a, b, c, d, p, &s, from, i);     \
        for (; i < to; i += GROUP) groups_as(1, a, b, c, d, p, &s, from, i);                                        \
    }
#define UPDATES(a, b) UPDATE(a, b, 0, 0) UPDATE(a, b, 0, 1) UPDATE(a, b, 1, 0)
    UPDATES(0, 0) UPDATES(0, 1) UPDATES(1, 0) UPDATES(1, 1)
#undef UPDATES
#undef UPDATE
}
