/* A stand-in for NVIDIA's libnvidia-ml: one RTX 3090, one GPU nobody has heard of that supports little. */
#include <stdlib.h>
#include <string.h>

#define OK 0
#define NOT_SUPPORTED 3
#define NO_DRIVER 9
#define GPU_IS_LOST 15

typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct {
    char legacy[16];
    unsigned int domain, bus, device, pci_device, pci_subsystem;
    char bus_id[32];
} pci_t;

static int cards[2] = {0, 1};

static int index_of(void *card) { return *(int *)card; }

static int say(char *out, unsigned int size, const char *text) {
    strncpy(out, text, size);
    return OK;
}

int nvmlInitWithFlags(unsigned int flags) { (void)flags; return getenv("FAKE_NVML_BROKEN") ? NO_DRIVER : OK; }
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { return code == NO_DRIVER ? "Driver Not Loaded" : "Not Supported"; }
int nvmlSystemGetDriverVersion(char *out, unsigned int size) { return say(out, size, "550.120"); }
int nvmlSystemGetCudaDriverVersion(int *version) { *version = 12040; return OK; }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { return nvmlSystemGetCudaDriverVersion(version); }
int nvmlDeviceGetCount_v2(unsigned int *count) { *count = 2; return OK; }

/* From the second look on, where the environment says so. */
static int is_lost(unsigned int index) {
    static int looks;
    return index == 0 && getenv("FAKE_NVML_LOST") && ++looks > 1;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **card) {
    *card = &cards[index];
    return is_lost(index) ? GPU_IS_LOST : OK;
}

int nvmlDeviceGetName(void *card, char *out, unsigned int size) {
    return say(out, size, index_of(card) ? "NVIDIA Frobnicator X-1" : "NVIDIA GeForce RTX 3090");
}

int nvmlDeviceGetUUID(void *card, char *out, unsigned int size) {
    return say(out, size, index_of(card) ? "GPU-bbbb" : "GPU-aaaa");
}

int nvmlDeviceGetMemoryInfo(void *card, memory_t *memory) {
    memory->total = index_of(card) ? 8ULL << 30 : 24576ULL << 20;
    memory->free = memory->total;
    memory->used = 0;
    return OK;
}

int nvmlDeviceGetCudaComputeCapability(void *card, int *major, int *minor) {
    *major = index_of(card) ? 7 : 8;
    *minor = index_of(card) ? 0 : 6;
    return OK;
}

int nvmlDeviceGetPciInfo_v3(void *card, pci_t *pci) {
    memset(pci, 0, sizeof *pci);
    strcpy(pci->bus_id, index_of(card) ? "00000000:41:00.0" : "00000000:01:00.0");
    return OK;
}

static int number(void *card, unsigned int *out, unsigned int value) {
    *out = value;
    return index_of(card) ? NOT_SUPPORTED : OK;
}

int nvmlDeviceGetMaxPcieLinkGeneration(void *card, unsigned int *out) { return number(card, out, 4); }
int nvmlDeviceGetMaxPcieLinkWidth(void *card, unsigned int *out) { return number(card, out, 16); }
int nvmlDeviceGetPowerManagementLimit(void *card, unsigned int *out) { return number(card, out, 350000); }
int nvmlDeviceGetMemoryBusWidth(void *card, unsigned int *out) { return number(card, out, 384); }
int nvmlDeviceGetDisplayActive(void *card, unsigned int *out) { return number(card, out, 1); }

int nvmlDeviceGetTemperatureThreshold(void *card, int kind, unsigned int *out) {
    (void)kind;
    return number(card, out, 95);
}

int nvmlDeviceGetNumGpuCores(void *card, unsigned int *out) { (void)card; *out = 2560; return OK; }

int nvmlDeviceGetMaxClockInfo(void *card, int kind, unsigned int *out) {
    (void)card;
    *out = kind == 2 ? 9751 : 1500;
    return OK;
}

typedef struct { unsigned int gpu, memory; } utilization_t;

int nvmlDeviceGetUtilizationRates(void *card, utilization_t *rates) {
    rates->gpu = 87;
    rates->memory = 40;
    return index_of(card) ? NOT_SUPPORTED : OK;
}

int nvmlDeviceGetTemperature(void *card, int kind, unsigned int *out) { (void)kind; (void)card; *out = 66; return OK; }
int nvmlDeviceGetPowerUsage(void *card, unsigned int *out) { return number(card, out, 301500); }
int nvmlDeviceGetFanSpeed(void *card, unsigned int *out) { return number(card, out, 55); }

int nvmlDeviceGetTotalEccErrors(void *card, int kind, int counter, unsigned long long *out) {
    (void)counter;
    *out = kind == 1 ? 2 : 7;
    return index_of(card) ? NOT_SUPPORTED : OK;
}

int nvmlDeviceGetCurrentClocksThrottleReasons(void *card, unsigned long long *out) {
    *out = 0x4;
    return index_of(card) ? NOT_SUPPORTED : OK;
}
