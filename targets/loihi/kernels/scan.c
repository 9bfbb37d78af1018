/* The neurons of the dense engine: sums come from outside, arrays are in C order. */

typedef struct {
    int64_t steps, batch, neurons, elapsed, products;
    /* Sums [steps, batch, neurons] of each hop, whole numbers below 2^24, and their shifts to units of u. */
    const float *const *sums;
    const int32_t *shifts;
    /* Of 4096, what each neuron keeps of its state; biases [rows, neurons] in units of u and v, the last row holds
     * on. */
    const int32_t *keep_u, *keep_v, *bias_u, *bias_v;
    int64_t rows_u, rows_v;
    int32_t threshold, subtract;
    /* State [batch, neurons]; spikes [steps, batch, neurons]; spikes of each neuron, summed. */
    int32_t *u, *v;
    float *spikes;
    int32_t *counts;
    /* As spikes; may be null. */
    int64_t *u_every, *v_every;
} scan;

INLINE int32_t kept(int32_t x, int32_t keep) {
    int32_t size = x < 0 ? -x : x, part = (size >> 12) * keep + (((size & 4095) * keep) >> 12);
    return x < 0 ? -part : part;
}

static void scan_step(const scan *s, int64_t n, const int32_t *restrict current, const int32_t *restrict bias,
                      int32_t *restrict us, int32_t *restrict vs, float *restrict spikes) {
    const int32_t *restrict keep_u = s->keep_u, *restrict keep_v = s->keep_v;
    int32_t threshold = s->threshold, after = s->subtract ? -1 : 0, *restrict counts = s->counts;
    for (int64_t i = 0; i < n; i++) {
        uint32_t sum = (uint32_t)kept(us[i], keep_u[i]) + (uint32_t)current[i];
        /* Into (-2^23, 2^23]. */
        int32_t u = (1 << 23) - (int32_t)(((1u << 23) - sum) & 0xffffff);
        int32_t v = kept(vs[i], keep_v[i]) + u + bias[i];
        v = v > STATE_MAX ? STATE_MAX : v < -STATE_MAX ? -STATE_MAX : v;
        int32_t fired = v > threshold;
        us[i] = u;
        vs[i] = fired ? (v - threshold) & after : v;
        spikes[i] = fired;
        counts[i] += fired;
    }
}

/* Advance the neurons of every sample; returns -1 where there is no memory. */
int fixed_scan(const scan *s) {
    int64_t n = s->neurons;
    int32_t *current = malloc(n * sizeof(int32_t));
    if (!current) return -1;
    for (int64_t b = 0; b < s->batch; b++)
        for (int64_t t = 0; t < s->steps; t++) {
            int64_t at = (t * s->batch + b) * n, now = s->elapsed + t;
            int64_t row_u = now < s->rows_u ? now : s->rows_u - 1, row_v = now < s->rows_v ? now : s->rows_v - 1;
            memcpy(current, s->bias_u + row_u * n, n * sizeof(int32_t));
            for (int64_t p = 0; p < s->products; p++) {
                const float *sum = s->sums[p] + at;
                int32_t shift = s->shifts[p];
                for (int64_t i = 0; i < n; i++) current[i] += (uint32_t)(int32_t)sum[i] << shift;
            }
            int32_t *u = s->u + b * n, *v = s->v + b * n;
            scan_step(s, n, current, s->bias_v + row_v * n, u, v, s->spikes + at);
            for (int64_t i = 0; i < n && s->u_every; i++) s->u_every[at + i] = u[i];
            for (int64_t i = 0; i < n && s->v_every; i++) s->v_every[at + i] = v[i];
        }
    free(current);
    return 0;
}
