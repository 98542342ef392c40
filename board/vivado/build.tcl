# Makes ecg_alq.bit and ecg_alq.hwh in this folder. Vivado 2022.1 or later:
#   vivado -mode batch -source build.tcl
# Ends with an error when a step fails or the clock is not reached; then there is no ecg_alq.bit.
set here [file dirname [file normalize [info script]]]
cd $here
source settings.tcl ;# sets `settings`; written by `ecg-alq bitstream`
source design.tcl

proc fail {message} {
    puts "ERROR: $message"
    exit 1
}

proc run_to {run step} {
    launch_runs $run {*}$step -jobs 2
    wait_on_run $run
    if {[get_property PROGRESS [get_runs $run]] ne "100%"} {
        fail "$run ended with [get_property STATUS [get_runs $run]]; see project/system.runs/$run/runme.log"
    }
}

# Vivado synthesises in folders of its own, so tables are named with their whole path.
proc with_whole_paths {from to} {
    set file [open $from]
    set text [string map [list "\"ecg_alq_" "\"[file dirname $from]/ecg_alq_"] [read $file]]
    close $file
    file mkdir [file dirname $to]
    set file [open $to w]
    puts -nonewline $file $text
    close $file
}

# Another of AMD's tools, without what Vivado has put into the environment for its own libraries and scripts: they would
# be taken for that tool's own.
proc exec_clean {args} {
    set kept [array get ::env]
    foreach name [array names ::env] {
        if {[regexp {^(LD_LIBRARY_PATH|LD_PRELOAD|TCL_LIBRARY|TCLLIBPATH|TK_LIBRARY|PYTHON.*|RDI_.*|XIL_.*|HDI_.*|ISL_.*|SYNTH_COMMON)$} $name]} {
            unset ::env($name)
        }
    }
    set ::env(ECG_ALQ_STEPS) "csynth export"
    set failed [catch {exec {*}$args >@stdout 2>@stderr} message]
    array set ::env $kept
    if {$failed} { fail "[lindex $args 0] ended with an error: $message" }
}

file delete ecg_alq.bit ecg_alq.hwh
if {[package vcompare [version -short] 2022.1] < 0} {
    fail "Vivado 2022.1 or later is needed, this is [version -short]"
}
create_project -force -part [dict get $settings part] system project
# A table that is not found would be a warning, and the core would hold zeros.
set_msg_config -id {Synth 8-4445} -new_severity ERROR
set_msg_config -id {Synth 8-2898} -new_severity ERROR
# The board's own preset of the processing system, where its files are installed.
set boards [get_board_parts -quiet -latest_file_version {*:pynq-z2:*}]
if {[llength $boards]} {
    set_property board_part [lindex $boards 0] [current_project]
}
set sources [glob $here/core/*.v]
if {[dict get $settings engine] eq "hls"} {
    set ip $here/hls/ecg_alq_prj/solution1/impl/ip
    if {![file exists $ip/component.xml]} {
        puts "INFO: the HLS core is made first"
        if {[auto_execok vitis-run] ne ""} {
            exec_clean vitis-run --mode hls --tcl $here/hls/build_prj.tcl
        } else {
            exec_clean vitis_hls -f $here/hls/build_prj.tcl
        }
    }
    set_property ip_repo_paths $ip [current_project]
    update_ip_catalog
} else {
    set top $here/core/ecg_alq.v
    with_whole_paths $top $here/generated/ecg_alq.v
    set sources [lsearch -all -inline -not -exact $sources $top]
    lappend sources $here/generated/ecg_alq.v
}
add_files -norecurse $sources
set_property include_dirs $here/core [current_fileset]
update_compile_order -fileset sources_1

create_system $settings
set design [get_files system.bd]
set_property synth_checkpoint_mode None $design
generate_target all $design
add_files -norecurse [make_wrapper -files $design -top]
set_property top system_wrapper [current_fileset]

run_to synth_1 {}
run_to impl_1 {-to_step write_bitstream}
open_run impl_1
report_utilization -file vivado_utilization.rpt
report_timing_summary -file vivado_timing.rpt
foreach {kind delay} {setup max hold min} {
    set slack [get_property SLACK [get_timing_paths -delay_type $delay]]
    puts "INFO: worst $kind slack $slack ns"
    if {$slack < 0} {
        fail "the clock of [dict get $settings clock_mhz] MHz is not reached: worst $kind slack $slack ns"
    }
}
# Both under one stem, and last of all: who finds them has a design that passed.
file copy -force [glob project/system.gen/sources_1/bd/system/hw_handoff/system.hwh] ecg_alq.hwh
file copy -force project/system.runs/impl_1/system_wrapper.bit ecg_alq.bit
