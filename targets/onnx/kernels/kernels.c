/* Operators of onnxruntime on the processor. */

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bits.h"
#include "ort.h"

#include "populations.c"
#include "convolutions.c"
#include "counts.c"

static const char *name(const operator *own) { return own->own_name; }
static const char *provider(const operator *own) { return (void)own, (const char *)0; }
/* Of a total, a table and then bits, as many as there are. */
static int input_type(const operator *own, size_t index) { return index && own->many_inputs ? UINT8 : own->own_input; }
static int input_kind(const operator *own, size_t index) { return index && own->many_inputs ? VARIADIC : REQUIRED; }
/* The last output of a population that counts is bits. */
static int output_type(const operator *own, size_t index) {
    return own->counts && index + 1 == own->own_outputs ? UINT8 : own->own_output;
}
static size_t inputs(const operator *own) { return own->own_inputs; }
static size_t outputs(const operator *own) { return own->own_outputs; }
/* Required, and in the provider's memory. */
static int plain(const operator *own, size_t index) { return (void)own, (void)index, 0; }
static int single(const operator *own) { return (void)own, 1; }

#define OPERATOR                                                                                                  \
    .version = API_VERSION, .name = name, .provider = provider, .input_type = input_type, .inputs = inputs,       \
    .output_type = output_type, .outputs = outputs, .destroy = free, .input_kind = input_kind,                    \
    .output_kind = plain, .input_memory = plain, .many = {single, single, single, single}
#define POPULATION(text, current, counted)                                                                        \
    {                                                                                                             \
        OPERATOR, .create = create_population, .compute = step, .own_name = text, .own_input = FLOAT,             \
        .own_output = FLOAT, .own_inputs = 7 + 2 * (current), .own_outputs = 2 + (current) + (counted),           \
        .has_current = current, .counts = counted                                                                 \
    }
#define OTHER(text, given, made, number, start, run, ...)                                                         \
    {                                                                                                             \
        OPERATOR, .create = start, .compute = run, .own_name = text, .own_input = given, .own_output = made,      \
        .own_inputs = number, .own_outputs = 1, __VA_ARGS__                                                       \
    }
static const operator operators[] = {
    POPULATION("Population", 0, 0),
    POPULATION("PopulationCounted", 0, 1),
    POPULATION("CurrentPopulation", 1, 0),
    POPULATION("CurrentPopulationCounted", 1, 1),
    OTHER("SpikingConv", FLOAT, FLOAT, 3, create_convolution, convolve),
    OTHER("Total", INT64, UINT8, 2, create_counter, add_up, .many_inputs = 1),
    OTHER("Events", FLOAT, INT64, 1, create_counter, count_events),
};
#undef OPERATOR
#undef POPULATION
#undef OTHER

/* onnxruntime calls this for each session that asks for the library. */
status RegisterCustomOps(void *options, const api_base *base) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static void *domain;
    api functions = base->get(API_VERSION);
    status failed = 0;
    pthread_mutex_lock(&lock);
    if (!domain) {
        failed = CALL(functions, CREATE_DOMAIN, create_domain, "msenas", &domain);
        for (size_t i = 0; i < sizeof operators / sizeof *operators && !failed; i++)
            failed = CALL(functions, DOMAIN_ADD, domain_add, domain, operators + i);
    }
    pthread_mutex_unlock(&lock);
    return failed ? failed : CALL(functions, ADD_DOMAIN, add_domain, options, domain);
}
