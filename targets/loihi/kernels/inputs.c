/* Spikes of inputs, from floats to masks. */

#if defined(__AVX2__)
/* Masks of 64 values; returns 1 where there is another than -1, 0 and 1, whose bits differ from those of 1. */
INLINE int split_word(const float *x, bytes *tally, uint64_t *positive, uint64_t *negative) {
    __m256i any = _mm256_setzero_si256(), edges = any, order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    uint64_t some = 0, minus = 0;
    for (int i = 0; i < 2; i++) {
        __m256i value[4], size[4];
        for (int k = 0; k < 4; k++) {
            value[k] = _mm256_loadu_si256((const __m256i *)(x + 32 * i + 8 * k));
            size[k] = _mm256_add_epi32(value[k], value[k]);
            any = _mm256_or_si256(any, value[k]);
            edges = _mm256_or_si256(edges, _mm256_xor_si256(value[k], size[k]));
        }
        __m256i both = _mm256_packs_epi16(_mm256_packs_epi32(size[0], size[1]), _mm256_packs_epi32(size[2], size[3]));
        both = _mm256_cmpgt_epi8(_mm256_permutevar8x32_epi32(both, order), _mm256_setzero_si256());
        tally[i] = (bytes)_mm256_sub_epi8((__m256i)tally[i], both);
        some |= (uint64_t)(uint32_t)_mm256_movemask_epi8(both) << 32 * i;
    }
    if (_mm256_movemask_ps((__m256)any))
        for (int i = 0; i < 64; i += 8) minus |= (uint64_t)_mm256_movemask_ps(_mm256_loadu_ps(x + i)) << i;
    *positive = some & ~minus;
    *negative = some & minus;
    /* The exponent of 1 is all ones but the first bit, and nothing follows it. */
    return !_mm256_testz_si256(any, _mm256_set1_epi32(0x407fffff)) ||
           !_mm256_testz_si256(edges, _mm256_set1_epi32(0x3f000000));
}
#endif

/* Masks of the values 1 and -1 of `x`, and both added to the tally; returns 1 where there is another value. What lies
 * `ahead` is read next. */
static int split(const float *x, int64_t n, int64_t ahead, uint8_t *tally, uint64_t *positive, uint64_t *negative) {
    int other = 0;
    for (int64_t from = 0; from < n; from += 64, x += 64, positive++, negative++) {
        int64_t held = n - from < 64 ? n - from : 64;
        /* One a line of the cache. */
        for (int64_t i = 0; i < held; i += 16) __builtin_prefetch(x + ahead + i);
#if defined(__AVX2__)
        if (held == 64) {
            other |= split_word(x, (bytes *)(tally + from), positive, negative);
            continue;
        }
#endif
        *positive = *negative = 0;
        for (int64_t i = 0; i < held; i++) {
            *positive |= (uint64_t)(x[i] == 1) << i;
            *negative |= (uint64_t)(x[i] == -1) << i;
            other |= x[i] != 0 && x[i] != 1 && x[i] != -1;
            tally[from + i] += x[i] != 0;
        }
    }
    return other;
}

/* Bits of the mask `from` to the places of an input. */
static void arrange(const node *n, const uint64_t *from, uint64_t *to, int32_t *events) {
    int64_t words = n->words - 1;
    if (!n->place) {
        memcpy(to, from, words * sizeof *to);
        return;
    }
    memset(to, 0, words * sizeof *to);
#if defined(__BMI2__)
    if (n->channels > 1 && 64 % n->channels == 0 && words % n->channels == 0 && n->neurons % 64 == 0) {
        const uint64_t one = ~(uint64_t)0 / (((uint64_t)1 << n->channels) - 1);
        for (int64_t channel = 0; channel < n->channels; channel++)
            for (int64_t w = 0; w < words; w++) {
                uint64_t some = from[channel * words / n->channels + w / n->channels];
                to[w] |= _pdep_u64(some >> w % n->channels * (64 / n->channels), one << channel);
            }
        return;
    }
#endif
    int64_t found = list(from, words, events);
    for (int64_t i = 0; i < found; i++) to[n->place[events[i]] / 64] |= (uint64_t)1 << n->place[events[i]] % 64;
}

/* Spikes of an input at step `t` of sample `b` as masks; returns 1 where it holds other values. */
static int read(const network *net, int64_t input, int64_t b, int64_t t, const buffers *held) {
    const node *n = net->nodes + input;
    uint64_t some = 0, *masks[] = {held->masks, held->masks + n->words};
    const float *fed = net->fed[input] + (t * net->batch + net->sample) * n->neurons;
    int64_t ahead = t + 1 < net->steps ? net->batch * n->neurons : 0;
    if (split(fed, n->neurons, ahead, n->tally, masks[0], masks[1])) return 1;
    for (int64_t w = 0; w < n->words - 1; w++) some |= masks[1][w];
    n->negative[b] |= some != 0;
    for (int64_t which = 0; which < planes(n, b); which++)
        arrange(n, masks[which], plane(n, b, net->elapsed + t, which), held->events);
    return 0;
}
