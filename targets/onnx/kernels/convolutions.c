/* Convolutions over spikes: each output pixel adds the rows of weights of the spikes in its window, its sums in registers.
 * What does not spike costs nothing but to be found. */

/* Channels that lie side by side as a vector, and of which sums are in registers together. */
#define LANES 8
#define CHUNK 64

typedef float floats __attribute__((vector_size(32), aligned(4), may_alias));

typedef struct {
    api functions;
    /* Of the attributes of these names, in this order. Values of `channels` (`out`) lie in blocks of `block_in`
     * (`block_out`) of them, which are plain where that is 1. */
    int64_t channels, height, width, out, out_height, out_width, kernel_height, kernel_width, stride_height,
        stride_width, top, left, block_in, block_out;
} convolution;

static const char *const convolution_attributes[] = {
    "channels",     "height",        "width",        "out", "out_height", "out_width", "kernel_height",
    "kernel_width", "stride_height", "stride_width", "top", "left",       "block_in",  "block_out"};

/* The spikes of one sample, row by row: of those of row y and of columns from x on, the first one; `key` is the column
 * times channels, and the channel. */
typedef struct {
    int32_t *first, *key;
} spikes;

/* Lists those of `count` channels, `apart` from each other; there is room for LANES more behind the list. */
static inline int64_t list(const float *x, int64_t count, int64_t apart, int32_t key, int64_t n, spikes s) {
    int64_t c = 0;
#if defined(__AVX2__)
    for (; apart == 1 && c + LANES <= count; c += LANES) {
        int mask = _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(x + c), _mm256_setzero_ps(), _CMP_NEQ_UQ));
        /* All of them are stored, and those count that are there: no processor foresees a branch a spike. */
        _mm256_storeu_si256((__m256i *)(s.key + n), _mm256_add_epi32(bit_positions(mask), _mm256_set1_epi32(key + c)));
        n += __builtin_popcount(mask);
    }
#endif
    for (; c < count; c++) {
        s.key[n] = key + c;
        n += x[c * apart] != 0;
    }
    return n;
}

static void find(const convolution *k, const float *x, spikes s) {
    const int64_t pixels = k->height * k->width, block = k->block_in;
    int64_t n = 0;
    for (int64_t y = 0; y < k->height; y++) {
        int32_t *first = s.first + y * (k->width + 1);
        for (int64_t column = 0; column < k->width; column++) {
            const int64_t pixel = y * k->width + column, key = column * k->channels;
            first[column] = n;
            if (block == 1) n = list(x + pixel, k->channels, pixels, key, n, s);
            else
                for (int64_t c = 0; c < k->channels; c += block)
                    n = list(x + c * pixels + pixel * block, block, 1, key + c, n, s);
        }
        first[k->width] = n;
    }
}

/* Channels from `from` on, `vectors` of them, of all output pixels. */
static inline __attribute__((always_inline)) void add_rows(int vectors, const convolution *k, spikes s,
                                                           const float *rows, const float *bias, int64_t from,
                                                           float *y) {
    const int64_t pixels = k->out_height * k->out_width, block = k->block_out;
    for (int64_t pixel = 0; pixel < pixels; pixel++) {
        const int64_t row = pixel / k->out_width * k->stride_height - k->top;
        const int64_t left = pixel % k->out_width * k->stride_width - k->left, right = left + k->kernel_width;
        const int64_t begin = left > 0 ? left : 0, end = right < k->width ? right : k->width;
        floats sum[CHUNK / LANES];
        for (int v = 0; v < vectors; v++) sum[v] = (floats){0};
        for (int64_t i = row < 0 ? -row : 0; i < k->kernel_height && row + i < k->height && begin < end; i++) {
            const int32_t *first = s.first + (row + i) * (k->width + 1);
            const int64_t skipped = (i * k->kernel_width - left) * k->channels;
            for (int32_t e = first[begin]; e < first[end]; e++) {
                const float *weights = rows + (skipped + s.key[e]) * k->out + from;
                for (int v = 0; v < vectors; v++) sum[v] += *(const floats *)(weights + v * LANES);
            }
        }
        for (int v = 0; v < vectors; v++) {
            const int64_t channel = from + v * LANES;
            sum[v] += *(const floats *)(bias + channel);
            if (block > 1) *(floats *)(y + channel / block * block * pixels + pixel * block + channel % block) = sum[v];
            else
                for (int lane = 0; lane < LANES; lane++) y[(channel + lane) * pixels + pixel] = sum[v][lane];
        }
    }
}

/* Inputs: spikes, 0 or 1, [B, channels, height, width], the weights of each value of a kernel's window,
 * [kernel_height * kernel_width * channels, out], and the bias [out]. */
static status convolve(void *own, void *context) {
    const convolution *k = own;
    const float *x, *rows, *bias;
    float *y;
    int64_t shape[AXES];
    size_t axes;
    TRY(shape_of(k->functions, context, 0, shape, &axes));
    const int64_t values = k->channels * k->height * k->width, firsts = k->height * (k->width + 1);
    const int64_t dims[] = {shape[0], k->out, k->out_height, k->out_width};
    TRY(input(k->functions, context, 0, &x));
    TRY(input(k->functions, context, 1, &rows));
    TRY(input(k->functions, context, 2, &bias));
    TRY(output(k->functions, context, 0, dims, 4, &y));
    int32_t *room = malloc((firsts + values + LANES) * sizeof(int32_t));
    if (!room) return no_memory(k->functions);
    const spikes s = {room, room + firsts};
    for (int64_t b = 0; b < shape[0]; b++, x += values, y += k->out * k->out_height * k->out_width) {
        int64_t from = 0;
        find(k, x, s);
#define CHANNELS(vectors)                                                 \
    for (; from + (vectors) * LANES <= k->out; from += (vectors) * LANES) \
        add_rows(vectors, k, s, rows, bias, from, y);
        CHANNELS(8) CHANNELS(4) CHANNELS(2) CHANNELS(1)
#undef CHANNELS
    }
    free(room);
    return 0;
}

static status create_convolution(const operator *own, api functions, const void *info, void **made) {
    (void)own;
    convolution *k = *made = malloc(sizeof *k);
    if (!k) return no_memory(functions);
    k->functions = functions;
    int64_t *values = &k->channels;
    for (size_t i = 0; i < sizeof convolution_attributes / sizeof *convolution_attributes; i++)
        TRY(CALL(functions, ATTRIBUTE_INT64, attribute_int64, info, convolution_attributes[i], values + i));
    return 0;
}
