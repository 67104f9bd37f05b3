/* Rhizome: the planner, asked without acting.  Part of rhizome.h, which includes it: the same conventions hold.
 *
 * For each stage of a pipeline: is anybody of it lost, which sources could give the state back, at which revision and at what price, which one
 * is taken, and why not the others.  All members of a run hold one revision; where some stage cannot have the current one, all go back to
 * one that every stage has a source for.  Nothing is done: a plan may be made at any time, about what is or about what would be
 * (docs/recovery.md).  `rhizome plan` makes one from outside.
 *
 *   rhz_plan_make  →  rhz_plan_info_get, rhz_plan_stage_get, rhz_plan_line  →  rhz_plan_close
 */
#ifndef RHIZOME_RHIZOME_PLAN_H
#define RHIZOME_RHIZOME_PLAN_H

#include <rhizome/rhizome.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rhz_plan rhz_plan;

/* In the order in which they are preferred where they cost the same. */
enum {
  RHZ_SOURCE_NONE = 0,    /* all members live and stay at their revision */
  RHZ_SOURCE_REPLICA = 1, /* a live replica of the stage */
  RHZ_SOURCE_ATTACH = 2,  /* memory that outlived its process (rhz_state_attach) */
  RHZ_SOURCE_VAULT = 3,   /* a snapshot in the vault of the own host (rhz_restore) */
  RHZ_SOURCE_SHARDS = 4,  /* shards with parity in vaults of other hosts */
  RHZ_SOURCE_SHADOW = 5,  /* rhizome_shadow.h */
  RHZ_SOURCE_AVERAGE = 6, /* rhizome_stages.h: approximate */
  RHZ_SOURCE_DISK = 7     /* rhz_checkpoint_load */
};

/* Whether neighbour averages may be taken, which are not what was lost. */
enum {
  RHZ_APPROXIMATE_DEFAULT = 0, /* as LAST_RESORT */
  RHZ_APPROXIMATE_LAST_RESORT = 1, /* where nothing exact is left, however old */
  RHZ_APPROXIMATE_NEVER = 2,
  RHZ_APPROXIMATE_BEFORE_DISK = 3 /* rather than going back to a checkpoint on disk */
};

enum { RHZ_KEPT_UNKNOWN = 0, RHZ_KEPT_WHOLE = 1, RHZ_KEPT_IN_UPDATE = 2 };

/* What the caller knows of a stage.  What is 0 or NULL is filled in from what this process sees, where it sees it. */
typedef struct rhz_stage_facts {
  size_t struct_size;       /* sizeof(rhz_stage_facts) */
  uint32_t live, lost;      /* members that hold the run's revision; others, who need it.  Both 0: seen */
  uint64_t state_bytes;     /* of one member.  0: seen */
  uint64_t parameter_bytes; /* of these: what neighbours can be averaged for; 0: all */
  uint32_t unlike_neighbours; /* 1: its parameters have other shapes than those beside it */
  uint32_t kept;            /* memory that a vault holds of those that are lost: RHZ_KEPT_* */
  uint64_t kept_revision;
  const uint64_t *snapshots; /* revisions that the vaults of all its members have */
  uint32_t snapshot_count;
  uint32_t data_shards;     /* of the newest sealed generation: it takes so many of each stripe; 0: there is none */
  uint64_t shards_revision;
  const uint32_t *shards_left; /* per stripe: with a living holder, and not corrupt */
  uint32_t stripe_count;
  uint32_t reserved;        /* 0 */
  uint64_t shadow_revision; /* 0: none, or seen */
  const uint64_t *checkpoints; /* revisions of complete checkpoints on disk */
  uint32_t checkpoint_count;
  uint32_t reserved2;       /* 0 */
} rhz_stage_facts;

typedef struct rhz_plan_params {
  size_t struct_size;  /* sizeof(rhz_plan_params) */
  uint32_t stages;     /* > 0 */
  uint32_t replicas;   /* members of a stage, slot = stage · replicas + replica; 0: 1 */
  const rhz_stage_facts *facts; /* of all stages in their order; NULL: whatever is seen */
  const uint32_t *without;      /* slots that count as lost though they live: what if? */
  uint32_t without_count;
  uint32_t schedule;   /* RHZ_SCHEDULE_* */
  uint32_t approximate; /* RHZ_APPROXIMATE_* */
  uint32_t shadow_stage; /* of `shadow` */
  const rhz_shadow *shadow; /* that this process holds; NULL: none */
  const char *folder;  /* of checkpoints; NULL: none is looked at */
  uint64_t revision;   /* of the living members; 0: the committed one here */
  double step_seconds; /* what a step costs that is made again; 0: 1 */
  /* Bytes a second; 0: measured by the run where it has (rhz_comm_costs: the link), else in brackets */
  double link_rate;    /* between members [125e6] */
  double memory_rate;  /* a copy [5e9] */
  double digest_rate;  /* [5e9] */
  double coding_rate;  /* of shards [5e9] */
  double disk_rate;    /* [500e6] */
} rhz_plan_params;

/* Makes a plan.  What this process sees: members, by the view; what the vault of its own host keeps (of snapshots on other hosts it sees nothing:
 * give these facts), shards in the vaults of all hosts; without a vault its own snapshots; complete checkpoints in `folder`; its shadow; the rate of its links.  comm may be NULL: then the
 * given facts are all.  Asks the vault, and waits up to 2 s for it.  The caller owns *out_plan and frees it with rhz_plan_close.
 * Returns   RHZ_OK, RHZ_ERR_ARGUMENT, _ABI, _STATE (not joined), _STATE_LOST (nothing brings the run back: the text names the stage and each
 *           source's reason), _IO, _RUN_ID (of `folder`).   Since 1.0. */
RHZ_API RHZ_NODISCARD rhz_status rhz_plan_make(rhz_comm *comm, const rhz_plan_params *params, rhz_plan **out_plan);

typedef struct rhz_plan_info {
  size_t struct_size; /* sizeof(rhz_plan_info) */
  uint64_t revision;  /* that all members hold afterwards */
  uint64_t bytes;     /* moved for all stages, over links, in memory or from disk */
  double seconds;     /* of the slowest stage */
  uint64_t steps_lost;
  uint32_t exact;     /* 0: some stage is averaged */
  uint32_t stages;
} rhz_plan_info;
/* Returns   RHZ_OK, RHZ_ERR_ARGUMENT, _ABI. */
RHZ_API RHZ_NODISCARD rhz_status rhz_plan_info_get(const rhz_plan *plan, rhz_plan_info *out_info);

typedef struct rhz_stage_plan {
  size_t struct_size;   /* sizeof(rhz_stage_plan) */
  uint32_t source;      /* RHZ_SOURCE_* */
  uint32_t exact;
  uint64_t bytes;
  double seconds;
  uint32_t next_source; /* that serves at the plan's revision if this one fails; RHZ_SOURCE_NONE: none, plan again */
  uint32_t reserved;
} rhz_stage_plan;
/* Returns   RHZ_OK, RHZ_ERR_ARGUMENT (no such stage), _ABI. */
RHZ_API RHZ_NODISCARD rhz_status rhz_plan_stage_get(const rhz_plan *plan, uint32_t stage, rhz_stage_plan *out_stage);

/* Line 0 is the run's, line 1 + s that of stage s: key=value pairs for a log, with the reason against each other source.  NULL behind the last one, and for
 * a plan of NULL.  Valid until rhz_plan_close. */
RHZ_API const char *rhz_plan_line(const rhz_plan *plan, uint32_t line);

/* NULL: nothing. */
RHZ_API void rhz_plan_close(rhz_plan *plan);

#ifdef __cplusplus
}
#endif
#endif /* RHIZOME_RHIZOME_PLAN_H */
