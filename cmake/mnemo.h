// The whole of mnemo: what a training program includes.
#pragma once

#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/record.h>
#include <mnemo/autograd/tensor.h>
#include <mnemo/core/card.h>
#include <mnemo/core/device.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/planning/card_decisions.h>
#include <mnemo/core/planning/conv_planner.h>
#include <mnemo/core/planning/conv_query.h>
#include <mnemo/core/planning/conv_trace.h>
#include <mnemo/core/planning/plan_choice.h>
#include <mnemo/core/planning/tabulation.h>
#include <mnemo/core/random.h>
#include <mnemo/core/threads.h>
#include <mnemo/cuda/card_properties.h>
#include <mnemo/memory/allocator.h>
#include <mnemo/memory/replay.h>
#include <mnemo/nn/functions.h>
#include <mnemo/nn/layers.h>
#include <mnemo/nn/module.h>
#include <mnemo/nn/sequential.h>
#include <mnemo/optim/optimizer.h>
