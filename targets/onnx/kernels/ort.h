/* What is used of onnxruntime's interface in C: the order of its table of functions, as of version 1, and of the
 * callbacks of an operator, as of version 16. No later version changes them. Source: onnxruntime_c_api.h,
 * https://github.com/microsoft/onnxruntime/tree/main/include/onnxruntime/core/session */

#include <stddef.h>
#include <stdint.h>

#define API_VERSION 16
/* Types of elements. */
#define FLOAT 1
#define UINT8 2
#define INT64 7
/* Kinds of inputs and outputs. */
#define REQUIRED 0
#define VARIADIC 2
/* A code of a status. */
#define FAIL 1

/* Places in the table of functions. */
enum {
    CREATE_STATUS = 0,
    CREATE_DOMAIN = 26,
    DOMAIN_ADD = 27,
    ADD_DOMAIN = 28,
    TENSOR_DATA = 51,
    DIMENSIONS_COUNT = 61,
    DIMENSIONS = 62,
    TYPE_AND_SHAPE = 65,
    ATTRIBUTE_INT64 = 86,
    GET_INPUT = 90,
    GET_OUTPUT = 91,
    RELEASE_TYPE_AND_SHAPE = 99
};

/* Functions return a status, which is null where they succeed. */
typedef void *status;
typedef const void *const *api;
typedef struct {
    api (*get)(uint32_t version);
    const char *(*version)(void);
} api_base;
typedef status create_status(int code, const char *message);
typedef status create_domain(const char *name, void **domain);
typedef status domain_add(void *domain, const void *operator);
typedef status add_domain(void *options, void *domain);
typedef status tensor_data(void *value, void **data);
typedef status dimensions_count(const void *shape, size_t *count);
typedef status dimensions(const void *shape, int64_t *values, size_t count);
typedef status type_and_shape(const void *value, void **shape);
typedef status attribute_int64(const void *info, const char *name, int64_t *value);
typedef status get_input(const void *context, size_t index, const void **value);
typedef status get_output(void *context, size_t index, const int64_t *shape, size_t count, void **value);
typedef void release_type_and_shape(void *shape);

#define CALL(functions, place, kind, ...) (((kind *)(functions)[place])(__VA_ARGS__))

typedef struct operator_ operator;
struct operator_ {
    uint32_t version;
    const void *create_first;
    const char *(*name)(const operator *own);
    const char *(*provider)(const operator *own);
    int (*input_type)(const operator *own, size_t index);
    size_t (*inputs)(const operator *own);
    int (*output_type)(const operator *own, size_t index);
    size_t (*outputs)(const operator *own);
    const void *compute_first;
    void (*destroy)(void *kernel);
    /* Whether it may be missing, and in which memory it lies. */
    int (*input_kind)(const operator *own, size_t index);
    int (*output_kind)(const operator *own, size_t index);
    int (*input_memory)(const operator *own, size_t index);
    /* Of inputs and outputs of any number. */
    int (*many[4])(const operator *own);
    status (*create)(const operator *own, api functions, const void *info, void **kernel);
    status (*compute)(void *kernel, void *context);
    /* Of later versions, never called. */
    const void *later[16];
    /* Ours: its name, the types of its first input and output, the numbers of its inputs and outputs, of a population
     * whether it has a current and counts, and whether there may be more of its last input. */
    const char *own_name;
    int own_input, own_output;
    size_t own_inputs, own_outputs;
    int has_current, counts, many_inputs;
};

/* Axes of a value and of its samples and steps, as in operators.py. */
#define AXES 8

#define TRY(call)                       \
    do {                                \
        status failed = (call);         \
        if (failed) return failed;      \
    } while (0)

/* Where the data of an input or of an output are. */
static status input(api functions, const void *context, size_t index, void *data) {
    const void *value;
    TRY(CALL(functions, GET_INPUT, get_input, context, index, &value));
    return CALL(functions, TENSOR_DATA, tensor_data, (void *)value, data);
}

static status output(api functions, void *context, size_t index, const int64_t *shape, size_t axes, void *data) {
    void *value;
    TRY(CALL(functions, GET_OUTPUT, get_output, context, index, shape, axes, &value));
    return CALL(functions, TENSOR_DATA, tensor_data, value, data);
}

/* The shape of an input, of up to AXES axes. */
static status shape_of(api functions, const void *context, size_t index, int64_t *shape, size_t *axes) {
    const void *value;
    void *found;
    TRY(CALL(functions, GET_INPUT, get_input, context, index, &value));
    TRY(CALL(functions, TYPE_AND_SHAPE, type_and_shape, value, &found));
    status failed = CALL(functions, DIMENSIONS_COUNT, dimensions_count, found, axes);
    if (!failed) failed = CALL(functions, DIMENSIONS, dimensions, found, shape, *axes);
    CALL(functions, RELEASE_TYPE_AND_SHAPE, release_type_and_shape, found);
    return failed;
}

static inline status no_memory(api functions) {
    return CALL(functions, CREATE_STATUS, create_status, FAIL, "no memory for an operator");
}
