# Stand-ins for Vivado's commands: they record their calls, and make the files that runs leave behind.
# This proves the script's syntax and the connections that it asks for; not that Vivado accepts them.
# Environment: STUB_CALLS: file for the record; STUB_REPORTS: folder of sample reports; STUB_HWH: handoff to hand out;
# STUB_VERSION, STUB_SLACK, STUB_PROGRESS, STUB_BOARDS: what Vivado says.
set calls [open $::env(STUB_CALLS) w]
proc record {args} {
    puts $::calls [join [lmap word $args {string map {"\n" " " "\t" " "} $word}] "\t"]
    flush $::calls
}

foreach command {
    create_bd_design create_bd_cell create_bd_intf_port connect_bd_intf_net connect_bd_net set_property
    assign_bd_address validate_bd_design save_bd_design create_project add_files update_compile_order update_ip_catalog
    generate_target wait_on_run open_run set_msg_config apply_bd_automation
} {
    proc $command {args} [format {record %s {*}$args} $command]
}
# Names stand for objects.
foreach command {
    get_bd_pins get_bd_intf_pins get_bd_intf_ports get_bd_cells get_bd_addr_spaces get_bd_addr_segs get_files get_runs
} {
    proc $command {name} {return $name}
}
proc current_fileset {} {return sources_1}
proc current_project {} {return project}
proc get_board_parts {args} {
    record get_board_parts {*}$args
    return $::env(STUB_BOARDS)
}
proc make_wrapper {args} {return system_wrapper.v}
proc get_timing_paths {option delay} {return timing_$delay}
proc get_property {name object} {
    switch $name {
        SLACK {return $::env(STUB_SLACK)}
        PROGRESS {return $::env(STUB_PROGRESS)}
        STATUS {return "synth_design ERROR"}
        board_part {return $::env(STUB_BOARDS)}
    }
    error "no property $name of $object"
}
proc report_utilization {option file} {file copy -force $::env(STUB_REPORTS)/vivado_utilization.rpt $file}
proc report_timing_summary {option file} {file copy -force $::env(STUB_REPORTS)/vivado_timing.rpt $file}
proc launch_runs {run args} {
    record launch_runs $run {*}$args
    if {$run eq "impl_1"} {
        file mkdir project/system.runs/impl_1 project/system.gen/sources_1/bd/system/hw_handoff
        set file [open project/system.runs/impl_1/system_wrapper.bit w]
        puts $file "made by a stand-in"
        close $file
        file copy -force $::env(STUB_HWH) project/system.gen/sources_1/bd/system/hw_handoff/system.hwh
    }
}

proc version {option} {return $::env(STUB_VERSION)}
