/* Spikes as whole numbers. */

/* Of a sum [1, neurons] in blocks of `block` channels, where it is more than 1, the counts in order, in the shape that
 * the second input holds. */
typedef struct {
    api functions;
    int64_t channels, block;
} total;

/* The channels of a block, which lie side by side, to where each has its pixels. */
static inline __attribute__((always_inline)) void in_order(int64_t block, int64_t pixels, const float *sum,
                                                           int64_t *count) {
    for (int64_t i = 0; i < pixels; i++)
        for (int64_t c = 0; c < block; c++) count[c * pixels + i] = (int32_t)sum[i * block + c];
}

static status add_up(void *own, void *context) {
    const total *k = own;
    const float *sum;
    const int64_t *dims;
    int64_t *count, shape[AXES], neurons = 1;
    size_t axes;
    TRY(input(k->functions, context, 0, &sum));
    TRY(input(k->functions, context, 1, &dims));
    TRY(shape_of(k->functions, context, 1, shape, &axes));
    TRY(output(k->functions, context, 0, dims, shape[0], &count));
    for (int64_t i = 0; i < shape[0]; i++) neurons *= dims[i];
    const int64_t pixels = neurons / k->channels, block = k->block;
    for (int64_t at = 0; at < neurons; at += block * pixels) {
        if (block == 1) in_order(1, pixels, sum + at, count + at);
        else if (block == 8) in_order(8, pixels, sum + at, count + at);
        else in_order(block, pixels, sum + at, count + at);
    }
    return 0;
}

static status create_total(const operator *own, api functions, const void *info, void **made) {
    (void)own;
    total *k = *made = malloc(sizeof *k);
    if (!k) return no_memory(functions);
    *k = (total){.functions = functions};
    TRY(CALL(functions, ATTRIBUTE_INT64, attribute_int64, info, "channels", &k->channels));
    return CALL(functions, ATTRIBUTE_INT64, attribute_int64, info, "block", &k->block);
}

/* Of an input [T, B, ...], how often each value is not zero, int64 [...]. */
static status count_events(void *own, void *context) {
    const api functions = *(const api *)own;
    const float *x;
    int64_t *count, shape[AXES], neurons = 1;
    size_t axes;
    TRY(shape_of(functions, context, 0, shape, &axes));
    TRY(input(functions, context, 0, &x));
    TRY(output(functions, context, 0, shape + 2, axes - 2, &count));
    for (size_t i = 2; i < axes; i++) neurons *= shape[i];
    for (int64_t from = 0; from < neurons; from += TILE) {
        const int64_t n = neurons - from < TILE ? neurons - from : TILE;
        int32_t found[TILE] = {0};
        for (int64_t row = 0; row < shape[0] * shape[1]; row++)
            for (int64_t i = 0; i < n; i++) found[i] += x[row * neurons + from + i] != 0;
        for (int64_t i = 0; i < n; i++) count[from + i] = found[i];
    }
    return 0;
}

static status create_events(const operator *own, api functions, const void *info, void **made) {
    (void)own, (void)info;
    api *k = *made = malloc(sizeof *k);
    if (!k) return no_memory(functions);
    *k = functions;
    return 0;
}
