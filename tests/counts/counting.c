// Counts the instructions that an emulated program executes inside windows: a plugin for qemu's user
// mode. A window begins and ends with getpriority(2) of a kind that does not exist; see window.rs. One inside another
// is taken out of it.
// At the end of the program it prints, for each window, its number, instructions, and what they did.
//
// The declarations are those of qemu's plugin interface that all its versions have in common.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
typedef struct qemu_info qemu_info_t;
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *), int, void *);
void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t,
                                          void (*)(qemu_plugin_id_t, unsigned, int64_t, uint64_t, uint64_t, uint64_t,
                                                   uint64_t, uint64_t, uint64_t, uint64_t, uint64_t));
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);

#ifndef PLUGIN_VERSION
#define PLUGIN_VERSION 1
#endif
__attribute__((visibility("default"))) int qemu_plugin_version = PLUGIN_VERSION;

enum { WINDOWS = 64, BEGIN = 0x4c470000, END = 0x4c478000 };

struct block {
    uint64_t address, instructions;
    uint64_t executed[WINDOWS];
    struct block *next;
};

static struct block *blocks;
static uint64_t executed[WINDOWS], times[WINDOWS];
static int window = -1, around = -1;
static FILE *profile;

static void on_execution(unsigned cpu, void *data) {
    struct block *block = data;
    (void)cpu;
    if (window >= 0) {
        executed[window] += block->instructions;
        block->executed[window] += block->instructions;
    }
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
    struct block *block = calloc(1, sizeof *block);
    (void)id;
    block->address = qemu_plugin_tb_vaddr(tb);
    block->instructions = qemu_plugin_tb_n_insns(tb);
    block->next = blocks;
    blocks = block;
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_execution, 0, block);
}

static void on_system_call(qemu_plugin_id_t id, unsigned cpu, int64_t number, uint64_t which, uint64_t who, uint64_t a3,
                           uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8) {
    (void)id, (void)cpu, (void)number, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    uint32_t kind = (uint32_t)which & ~(WINDOWS - 1u);
    if (kind == BEGIN) {
        around = window;
        window = which & (WINDOWS - 1);
    } else if (kind == END) {
        times[which & (WINDOWS - 1)] += (uint32_t)who;
        window = around;
        around = -1;
    }
}

static void on_end(qemu_plugin_id_t id, void *data) {
    (void)id, (void)data;
    for (int i = 0; i < WINDOWS; i++)
        if (times[i])
            fprintf(stderr, "%d %llu %llu\n", i, (unsigned long long)executed[i], (unsigned long long)times[i]);
    for (struct block *block = blocks; profile && block; block = block->next)
        for (int i = 0; i < WINDOWS; i++)
            if (block->executed[i])
                fprintf(profile, "%d %llx %llu\n", i, (unsigned long long)block->address,
                        (unsigned long long)block->executed[i]);
    if (profile)
        fclose(profile);
}

// An argument profile=FILE has the instructions of each block of code written there.
__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int count,
                                                               char **words) {
    (void)info;
    for (int i = 0; i < count; i++)
        if (!strncmp(words[i], "profile=", 8))
            profile = fopen(words[i] + 8, "w");
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_vcpu_syscall_cb(id, on_system_call);
    qemu_plugin_register_atexit_cb(id, on_end, NULL);
    return 0;
}
