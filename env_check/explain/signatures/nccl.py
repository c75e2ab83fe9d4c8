# ruff: noqa: E501 (a row is a line)
"""What NCCL, gloo and the launchers say about several processes."""

from __future__ import annotations

from env_check.explain.signatures.row import Signature as S
from env_check.explain.signatures.row import same_line

# fmt: off
ROWS: tuple[S, ...] = (
    # ---- NCCL
    S("nccl-duplicate", "nccl_duplicate_gpu", 0.98, "duplicate", r"duplicate gpu detected", "NCCL"),
    S("nccl-invalid-usage", "nccl_duplicate_gpu", 0.5, "invalid ncclinvalidusage", r"ncclinvalidusage|nccl[^\n]{0,120}invalid usage|nccl error 5: invalid usage", "NCCL", "Most often two ranks on one GPU; NCCL_DEBUG=WARN names it."),
    S("nccl-interface", "nccl_network_interface", 0.97, "interface neither ifname", r"no socket interface found|nccl warn [^\n]{0,80}(?:no interface|could not find any socket interface)|net/socket : no interface found|ncclsocketinit: connecting to address[^\n]{0,120}is neither|no (?:usable|suitable|network) interface (?:was )?found|(?:nccl|gloo)_socket_ifname[^\n]{0,60}\b(?:fix(?:ed|es)?|solve[sd]?|help(?:s|ed)?|works?|worked)\b", "NCCL"),
    S("nccl-connect", "nccl_network_interface", 0.88, "call returned socketstartconnect timeout warn", r"call to connect (?:returned|timeout|failed|to [^\n]{0,120} failed)[^\n]{0,120}|\bwarn (?:net ?: )?(?:socket\w*: )?connect(?:ion)? to [^\n]{0,120}(?:refused|timed out|no route to host|unreachable)|\bwarn socket creation failed|nccl warn (?:net|socket|misc/socket|bootstrap)[^\n]{0,160}(?:connect[^\n]{0,80}failed|connection refused|no route to host|timed out|network is unreachable)|socketstartconnect: connect to[^\n]{0,120}failed|nccl warn socket\w*: connect[^\n]{0,120}failed", "NCCL"),
    S("nccl-using", "", 0.0, "bootstrap net", r"nccl info (?:bootstrap ?:|net/socket ?:) using ([^\n]{1,200})", "NCCL INFO"),
    S("nccl-complete", "", 0.0, "complete rings", r"init complete\b|connected all rings", "NCCL INFO"),
    S("nccl-vague", "nccl_network_interface", 0.35, "there unhandled", r"nccl (?:error|failure)[^\n]{0,200}(?:unhandled system error|remote process exited or there was a network error)", "torch, nccl-tests"),
    S("nccl-remote", "nccl_network_interface", 0.6, "ncclremoteerror possibly", r"ncclremoteerror|a call failed possibly due to a network error", "NCCL"),
    S("nccl-ib", "nccl_network_interface", 0.75, "modify nccl completion", r"nccl warn net/ib[^\n]{0,200}(?:error|failed|timeout)|nccl warn call to ibv_\w+ failed|ibv_modify_qp failed|net/ib : got completion from peer[^\n]{0,160}status=(?:[1-9]\d|[1-9])\b", "NCCL"),
    S("gloo-connect", "nccl_network_interface", 0.85, "address gloo makedeviceforhostname", r"gloo connectfullmesh failed|gloo[^\n]{0,200}(?:unable to (?:resolve|find) (?:hostname|address|interface)|connection refused|no route to host|address family mismatch)|makedeviceforhostname\(\)|unable to find address for: ", "gloo"),
    S("gloo-closed", "nccl_network_interface", 0.5, "gloo", r"gloo/transport/tcp/pair\.cc:\d+\][^\n]{0,120}(?:connection closed by peer|connection reset by peer|timed out)", "gloo"),
    S("c10d-connect", "nccl_network_interface", 0.75, "client network timed", r"client socket has (?:failed to connect|timed out) [^\n]{0,160}connect|the client socket has failed to connect to|network addresses of \([^\n]{0,120}\) cannot be retrieved", "torch c10d"),
    S("store-join", "nccl_network_interface", 0.62, "clients", r"timed out after \d+ seconds waiting for clients", "torch c10d", "Some ranks never reached the rendezvous."),
    S("rendezvous", "nccl_network_interface", 0.7, "rendezvous rendezvousconnectionerror rendezvoustimeouterror", r"rendezvous(?:connection|timeout)error|timed out waiting for rendezvous", "torch elastic"),
    S("launcher-network", "nccl_network_interface", 0.6, "tcp ssh family init_process_group master_addr", r"unable to complete a tcp connection|ssh: (?:connect to host|could not resolve hostname)|init_process_group[^\n]{0,120}(?:connection (?:reset|refused)|timed out)|connection (?:reset|refused)[^\n]{0,120}init_process_group|master_addr expected, but not set", "mpirun, pdsh, torch"),
    S("nccl-generic", "nccl_network_interface", 0.35, "ncclsystemerror unhandled", r"ncclsystemerror|unhandled system error", "NCCL", "A system call of NCCL failed; NCCL_DEBUG=INFO names it."),
    S("p2p-consumer", "nccl_p2p_broken", 0.95, "access broadband peer mapping gives", r"doesn't support faster communication broadband via p2p or ib|peer access is not supported between these two devices|peer access is not supported|can't enable (?:peer )?access between (?:nodes|devices|gpus)|peer access (?:is )?not (?:available|enabled)|peer mapping resources exhausted|gives zeros", "accelerate, CUDA runtime"),
    S("p2p-nccl", "nccl_p2p_broken", 0.85, "nccl transport cudaipcopenmemhandle cudaipcgetmemhandle", r"transport/p2p\.cc:\d+[^\n]{0,30}(?:nccl warn|-> )|nccl warn (?:cuda failure[^\n]{0,120}peer|failed to open cuda ipc handle|cudaipc\w+)|cudaipc(?:open|get)memhandle[^\n]{0,120}(?:fail|error|invalid)", "NCCL"),
    S("p2p-iommu", "nccl_p2p_broken", 0.8, "access fault", r"dmar: \[dma (?:read|write)[^\n]{0,200}pte (?:read|write) access is not set|dmar: drhd: handling fault|amd-vi: event logged \[io_page_fault", "Linux kernel", "The IOMMU blocks transfers between the GPUs."),
    S("p2p-matrix", "", 0.0, "bandwidth", r"p2p=disabled bandwidth matrix[^\n]*\n((?:[ \t]*[\dd\\][^\n]*\n){2,20})[^\n]{0,80}p2p=enabled bandwidth[^\n]*\n((?:[ \t]*[\dd\\][^\n]*(?:\n|$)){2,20})", "p2pBandwidthLatencyTest"),
    S("p2p-latency", "", 0.0, "latency", r"p2p=enabled latency[^\n]*\n((?:[ \t]*[\dg][^\n]*(?:\n|$)){2,20})", "p2pBandwidthLatencyTest"),
    S("p2p-path", "", 0.0, "via", r"via p2p/(?:direct pointer|cumem|ipc)", "NCCL INFO"),
    S("p2p-disable-helps", "nccl_p2p_broken", 0.8, "disable disabled disabling without level", r"(?:works?|worked|solved?|fixe[sd]|fixed|helps?|resolve[sd]|runs?|successful\w*|no (?:longer )?hang\w*|passes)[^\n]{0,120}nccl_p2p_(?:disable ?= ?1|level ?= ?\w+)|p2p (?:is |was )?disabled,?[^\n]{0,80}\b(?:works?|well|fine|ok|normal\w*)\b|(?:without|disabling|disable) p2p[^\n]{0,80}\b(?:works?|worked|well|fine|ok|solve[sd]?|fixe[sd]|helps?|resolve[sd]?)\b|nccl_p2p_(?:disable ?= ?1|level ?= ?\w+)[^\n]{0,120}(?:works?\b|worked|solve[sd]?|fixe[sd]|helps?|resolve[sd]?|runs? fine|successful|no (?:longer )?hang)", "a reporter's words"),
    S("p2p-prose", "nccl_p2p_broken", 0.72, "peer acs iommu", same_line(r"\b(?:p2p|peer[- ]to[- ]peer|(?:no_)?peer_copy|peer access|acs|iommu)\b", r"\b(?:hangs?|hanging|stuck|freezes?|deadlocks?|garbage|gibberish|wrong (?:data|values?|results?)|corrupt\w*|zeros|fix(?:ed|es)?|solve[sd]?|help(?:s|ed)?|resolve[sd]?)\b"), "a reporter's words"),
    S("p2p-zeros", "nccl_p2p_broken", 0.75, "tensor", r"\.to\(['\"]?cuda:[1-9][^\n]{0,60}\n[^\n]{0,40}tensor\(\[+0\.(?:,\s*0\.)*\]+, device='cuda:[1-9]'\)", "a person at a prompt", "A copy to the other GPU arrives as zeros."),
    S("p2p-mentioned", "", 0.0, "disable", r"nccl_p2p_disable(?![^\n]{0,80}(?:no effect|didn't help|did not help|doesn't help|does not help|same (?:error|result|problem)))", "a reporter's words"),
    S("p2p-test", "", 0.0, "access bandwidth bandwidthlatencytest latency", r"p2p=(?:dis|en)abled (?:bandwidth|latency)|can access peer device|p2pbandwidthlatencytest", "CUDA samples"),
    S("nccl-tests", "", 0.0, "perf nccl", r"\b(?:all_reduce|all_gather|reduce_scatter|broadcast|sendrecv|alltoall)_perf\b|nccl[- ]tests?\b", "nccl-tests"),
    S("p2p-hang", "", 0.0, "deadlock deadlocks freeze freezes frozen hang hanging hangs hung stuck", r"\b(?:hangs|hanging|stuck|freezes?|frozen|hung|deadlocks?)\b|(?<!process[ ]to[ ])hang\b", "a reporter's words"),
    S("p2p-verify", "nccl_p2p_broken", 0.85, "corrupt verification wrong zeros", r"verification error @ element|peer-to-peer[^\n]{0,120}(?:corrupt|wrong data|zeros)", "simpleP2P"),
    S("p2p-acs", "nccl_p2p_broken", 0.72, "acsctl", r"acsctl: srcvalid\+", "lspci", "Access Control Services are on: peer-to-peer goes through the root complex."),
    S("iommu", "", 0.0, "iommu", r"\biommu\b", "kernel command line"),
    S("ranks", "", 0.0, "nccl torchrun accelerate deepspeed ddp distributed dataparallel distributeddataparallel multi tensor", r"\b(?:nccl|torchrun|deepspeed|ddp|accelerate launch|torch\.distributed|dataparallel|distributeddataparallel|multi[- ]gpus?|tensor[-_ ]parallel\w*)\b", "launchers"),
    S("preprocessing", "", 0.0, "dataset first grouping map pre preprocess tokenizing", r"(?:running )?tokeniz\w+ (?:on )?(?:train )?dataset|\bmap:? |\.map\(|pre-?process|grouping texts|main_process_first|tokenizing", "datasets, transformers"),
    S("nccl-watchdog", "nccl_timeout_slow_rank", 0.75, "collective monitoredbarrier timed watchdog milliseconds communicator processgroupnccl barrier monitoredbarrier", r"watchdog caught collective operation timeout|watchdog got stuck for \d+|heartbeat monitor timed out|collective operation timeout: work\w+\(|failed to pass monitoredbarrier in|some nccl operations have failed or timed out|ran for \d{5,} milliseconds before timing out|nccl communicator was aborted on rank|processgroupnccl[^\n]{0,60}time-?d? ?out|monitored ?barrier[^\n]{0,80}time-?d? ?out|time-?d? ?out[^\n]{0,80}monitored ?barrier", "torch ProcessGroupNCCL"),
    S("store-timeout", "nccl_timeout_slow_rank", 0.78, "store timed timeout initializing signal", r"store->get\('[^'\n]{0,40}'\) got error: [^\n]{0,80}(?:timeout|connection reset)|timeout waiting for key: |wait timeout after \d+ ?ms, keys|timed out waiting \d+ms for (?:send|recv) operation|socket timeout|timed out initializing process group in store based barrier|received a timeout signal from another rank|observed flight recorder dump signal", "torch c10d, gloo"),
)
# fmt: on
